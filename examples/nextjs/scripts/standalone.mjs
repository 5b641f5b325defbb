// What `next build` leaves out of a standalone server: the files that browsers load.
import { cpSync } from 'node:fs'

cpSync('.next/static', '.next/standalone/.next/static', { recursive: true })
