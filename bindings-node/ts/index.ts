/** Database backups that have been restored. See {@link Vault}. */

export { BackupError, type Failure } from './error'
export { onLog, type LogLevel, type LogRecord, type LogSubscription } from './log'
export { Schedule } from './schedule'
export { Vault } from './vault'
export type * from './types'
