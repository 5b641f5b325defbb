/** Values as the core writes them (snake_case, RFC 3339) to values of this language (camelCase, Date) and back. */

import { absent, shapes } from './verbs'

/** How a value crosses: '' as it is, 'date', the name of a type, `[of each item]`, `{'*': of each value of a map}`. */
export type Shape = string | readonly [Shape] | { readonly '*': Shape }

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
const snake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

/** A value of the core's as this language has it. */
export function fromCore(value: unknown, shape: Shape): unknown {
  if (value === null || value === undefined) return null
  if (shape === '') return value
  if (shape === 'date') return new Date(value as string)
  if (typeof shape === 'string') {
    if (typeof value !== 'object') return value
    const fields = { ...shapes[shape] }
    const given = { ...absent[shape], ...value } as Record<string, unknown>
    // In the order of the declaration; what a newer core adds comes along.
    const names = new Set([...Object.keys(fields).filter(name => name in given), ...Object.keys(given)])
    return Object.fromEntries([...names].map(name => [camel(name), fromCore(given[name], fields[name] ?? '')]))
  }
  if ('*' in shape) return eachValue(value, of => fromCore(of, shape['*']))
  return (value as unknown[]).map(of => fromCore(of, shape[0]))
}

/** A value of this language as the core has it. Names that the core does not know go along: it says which ones it has. */
export function toCore(value: unknown, shape: Shape): unknown {
  if (value === null || typeof value !== 'object' || shape === '' || shape === 'date') return value
  if (typeof shape === 'string') {
    const fields = { ...shapes[shape] }
    return Object.fromEntries(Object.entries(value).map(([name, of]) => [snake(name), toCore(of, fields[snake(name)] ?? '')]))
  }
  if ('*' in shape) return eachValue(value, of => toCore(of, shape['*']))
  return Array.isArray(value) ? value.map(of => toCore(of, shape[0])) : value
}

function eachValue(map: unknown, change: (value: unknown) => unknown): unknown {
  return Object.fromEntries(Object.entries(map as object).map(([key, value]) => [key, change(value)]))
}
