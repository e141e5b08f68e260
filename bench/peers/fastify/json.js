// JSON by the rules of the contract. JSON.parse reads nearly every body; the checks for details that it hides use the text.

import { isUtf8 } from 'node:buffer'
import { parse as parseExactly } from 'lossless-json'

const MAX_DEPTH = 126
// A fraction, an exponent, or more digits than a double can hold. A match inside a string only costs time.
const ODD_NUMBER = /(^|[:[,\s])-?\d+[.eE]|\d{16}/
const STRING = /"(?:[^"\\]|\\.)*"(\s*:)?/g
const SURROGATE = /\\u[dD][89a-fA-F]/

/** A number that is not an integer of 64 bits. */
export class OtherNumber {}

const number = text => {
  if (!/^-?\d+$/.test(text) || text === '-0') return new OtherNumber()
  const value = BigInt(text)
  if (Number.isSafeInteger(Number(value))) return Number(value)
  return BigInt.asIntN(64, value) === value ? value : new OtherNumber()
}

/** Returns the one value that `body` contains. Throws if the body breaks the rules. */
export function parse (body) {
  if (!isUtf8(body)) throw new SyntaxError('not UTF-8')
  const text = body.toString()
  const value = JSON.parse(text)
  let keysInText = 0
  for (const [, colon] of text.matchAll(STRING)) if (colon) keysInText++
  if (count(value, 0, SURROGATE.test(text)) !== keysInText) throw new SyntaxError('a key stands twice')
  return ODD_NUMBER.test(text) ? parseExactly(text, undefined, number) : value
}

function count (value, depth, looksAtText) {
  if (typeof value === 'string') {
    if (looksAtText && !value.isWellFormed()) throw new SyntaxError('half a surrogate pair')
    return 0
  }
  if (value === null || typeof value !== 'object') return 0
  if (depth === MAX_DEPTH) throw new SyntaxError('nests too deep')
  let keys = 0
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object' || looksAtText) keys += count(item, depth + 1, looksAtText)
    return keys
  }
  for (const key of Object.keys(value)) {
    if (looksAtText && !key.isWellFormed()) throw new SyntaxError('half a surrogate pair')
    keys += 1 + count(value[key], depth + 1, looksAtText)
  }
  return keys
}
