// The contract's tables of fields. A reader returns the value, or undefined for an empty one, or throws the fault.

import { OtherNumber } from './json.js'

const MAX_CLIENT_IDS = 10_000
const DATE = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/

export class Wrong extends Error {}

const wrong = text => { throw new Wrong(text) }
const isEmptyString = value => value === null || value === ''
const isNull = value => value === null
const isInteger = value => typeof value === 'bigint' || Number.isInteger(value)
const isObject = value =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof OtherNumber)

const string = value => typeof value === 'string' ? value : wrong('must be a string')

function phone (value) {
  if (typeof value !== 'string' && !isInteger(value)) wrong('must be a string or an integer')
  const text = String(value)
  return /^7[0-9]{10}$/.test(text) && text.length === 11 ? text : wrong('must be 11 digits and start with 7')
}

const email = value => string(value).includes('@') ? value : wrong('must contain "@"')

function date (value) {
  const match = DATE.exec(string(value))
  if (!match) wrong('must be a date written DD.MM.YYYY')
  const [day, month, year] = [Number(match[1]), Number(match[2]), Number(match[3])]
  const found = new Date(2000, 0, 1)
  found.setFullYear(year, month - 1, day)
  const isReal = found.getFullYear() === year && found.getMonth() === month - 1 && found.getDate() === day
  return isReal && year > 0 ? found : wrong('must be a date written DD.MM.YYYY')
}

function birthday (value) {
  const born = date(value)
  const today = new Date()
  today.setHours(0, 0, 0, 0)
  if (born > today) wrong('must not be in the future')
  // 29 February counts as 1 March in other years; setFullYear does the same.
  const last = new Date(born)
  last.setFullYear(born.getFullYear() + 70)
  return today > last ? wrong('must not be more than 70 years ago') : born
}

const gender = value => value === 0 || value === 1 || value === 2 ? value : wrong('must be 0, 1 or 2')

function clientIds (value) {
  if (!Array.isArray(value)) wrong('must be an array of integers')
  if (value.length === 0) wrong('must not be empty')
  if (value.length > MAX_CLIENT_IDS) wrong(`must hold at most ${MAX_CLIENT_IDS} ids`)
  return value.every(isInteger) ? value : wrong('must be an array of integers')
}

const object = value => isObject(value) ? value : wrong('must be an object')

const field = (name, read, isEmpty, { required = false, filled = false } = {}) =>
  ({ name, read, isEmpty, required, filled })

export const ENVELOPE = [
  field('account', string, isEmptyString),
  field('login', string, isEmptyString, { required: true }),
  field('token', string, isEmptyString, { required: true }),
  field('arguments', object, isNull, { required: true }),
  field('method', string, isEmptyString, { required: true, filled: true })
]

export const ONLINE_SCORE = [
  field('phone', phone, isEmptyString),
  field('email', email, isEmptyString),
  field('first_name', string, isEmptyString),
  field('last_name', string, isEmptyString),
  field('birthday', birthday, isEmptyString),
  field('gender', gender, isNull)
]

export const CLIENTS_INTERESTS = [
  field('client_ids', clientIds, isNull, { required: true, filled: true }),
  field('date', date, isEmptyString)
]

/** Reads an object by a table. Returns the values, the faults, and the names of the non-empty fields. */
export function read (given, table) {
  const [values, faults, has] = [{}, [], []]
  for (const { name, read, isEmpty, required, filled } of table) {
    if (!Object.hasOwn(given, name)) {
      if (required) faults.push(`${name}: is required`)
      continue
    }
    const value = given[name]
    if (isEmpty(value)) {
      if (filled) faults.push(`${name}: must not be empty`)
      continue
    }
    has.push(name)
    try {
      values[name] = read(value)
    } catch (error) {
      if (!(error instanceof Wrong)) throw error
      faults.push(`${name}: ${error.message}`)
    }
  }
  return { values, faults, has }
}

export { isObject }
