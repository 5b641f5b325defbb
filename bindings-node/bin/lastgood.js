#!/usr/bin/env node
'use strict'
// The `lastgood` command, as in every language.

const { native } = require('../dist/native.js')

native().cli(['lastgood', ...process.argv.slice(2)], json => {
  process.exitCode = JSON.parse(json).Ok ?? 70
})
