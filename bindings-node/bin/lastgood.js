#!/usr/bin/env node
'use strict'
// The `lastgood` command, as in every language.

const { native } = require('../dist/native.js')

// The native half cancels at the first Ctrl-C. A listener must be there before it listens: Node's own handler raises the
// signal anew, and the native one, which calls the handler that it found, would bring it back to Node for ever.
let interrupts = 0
process.on('SIGINT', () => {
  interrupts += 1
  if (interrupts > 1) process.exit(130)
})

native().cli(['lastgood', ...process.argv.slice(2)], json => {
  process.exitCode = JSON.parse(json).Ok ?? 70
})
