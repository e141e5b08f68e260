// The two methods and the HTTP around them.

import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { CLIENTS_INTERESTS, ENVELOPE, ONLINE_SCORE, isObject, read } from './fields.js'
import { parse } from './json.js'

const [SALT, ADMIN_SALT, ADMIN_LOGIN] = ['Otus', '42', 'admin']
const BODY_LIMIT = 256 * 1024
const TTL_SECONDS = 3600
const [CACHE_MS, STORE_MS] = [100, 600]
const PAIRS = [['phone', 'email'], ['first_name', 'last_name'], ['gender', 'birthday']]
const TEXTS = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Payload Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable'
}

class Refused extends Error {
  constructor (code, text = TEXTS[code]) {
    super(text)
    this.code = code
  }
}

function connect (commandTimeout) {
  const redis = new Redis(process.env.REDIS_URL, {
    commandTimeout,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 1,
    retryStrategy: () => 100
  })
  // Each failed command already reports its own error.
  redis.on('error', () => {})
  return redis
}

const digest = (algorithm, text) => createHash(algorithm).update(text).digest('hex')
const twoDigits = number => String(number).padStart(2, '0')

function authenticate ({ account = '', login = '', token = '' }) {
  const now = new Date()
  const hour = [now.getMonth() + 1, now.getDate(), now.getHours()].map(twoDigits).join('')
  const expected = Buffer.from(login === ADMIN_LOGIN
    ? digest('sha512', now.getFullYear() + hour + ADMIN_SALT)
    : digest('sha512', account + login + SALT))
  const given = Buffer.from(token)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new Refused(403)
}

export function server () {
  const [cache, store] = [connect(CACHE_MS), connect(STORE_MS)]

  async function onlineScore (call, context) {
    const { values: person, faults, has } = read(call.arguments ?? {}, ONLINE_SCORE)
    context.has = has.join(',')
    if (!PAIRS.some(pair => pair.every(name => has.includes(name)))) {
      faults.push('arguments: must have phone and email, first_name and last_name, or gender and birthday')
    }
    if (faults.length > 0) throw new Refused(422, faults.join('; '))
    if (call.login === ADMIN_LOGIN) return { score: 42 }

    const { phone, email, first_name: first, last_name: last, birthday, gender } = person
    const key = 'uid:' + digest('md5', JSON.stringify([1, phone, email, first, last, birthday, gender]))
    const cached = await cache.get(key).catch(() => null)
    const found = Number(cached || NaN)
    if (Number.isFinite(found) && found >= 0) return { score: found }
    const score = (phone ? 1.5 : 0) + (email ? 1.5 : 0) + (birthday && gender ? 1.5 : 0) + (first && last ? 0.5 : 0)
    // The call does not wait for the write.
    cache.set(key, score, 'EX', TTL_SECONDS).catch(() => {})
    return { score }
  }

  async function clientsInterests (call, context) {
    const given = call.arguments ?? {}
    if (Array.isArray(given.client_ids)) context.nclients = given.client_ids.length
    const { values, faults } = read(given, CLIENTS_INTERESTS)
    if (faults.length > 0) throw new Refused(422, faults.join('; '))
    const ids = [...new Set(values.client_ids.map(String))]
    const stored = await store.mget(ids.map(id => `i:${id}`)).catch(() => { throw new Refused(503) })
    return Object.fromEntries(ids.map((id, index) => [id, interests(stored[index])]))
  }

  function interests (stored) {
    if (stored === null) return []
    let found
    try {
      found = JSON.parse(stored)
    } catch {
      throw new Refused(500)
    }
    if (!Array.isArray(found) || !found.every(one => typeof one === 'string')) throw new Refused(500)
    return found
  }

  const methods = new Map([['online_score', onlineScore], ['clients_interests', clientsInterests]])

  async function answer (body, context) {
    let json
    try {
      json = parse(body)
    } catch {
      throw new Refused(400)
    }
    if (!isObject(json)) throw new Refused(422, 'request: must be an object')
    const { values: call, faults } = read(json, ENVELOPE)
    if (faults.length > 0) throw new Refused(422, faults.join('; '))
    context.account = (call.account ?? '').slice(0, 64)
    authenticate(call)
    const method = methods.get(call.method)
    if (!method) throw new Refused(422, 'method: must be online_score or clients_interests')
    context.method = call.method
    return await method(call, context)
  }

  const app = Fastify({
    logger: { level: 'info' },
    disableRequestLogging: true,
    bodyLimit: BODY_LIMIT,
    routerOptions: { ignoreTrailingSlash: true },
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && /^[!-~]{1,128}$/.test(given) ? given : randomUUID()
    }
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))

  const refuse = (request, reply, code, text = TEXTS[code] ?? 'error') => {
    if (code === 503) reply.header('retry-after', '1')
    return reply.header('x-request-id', request.id).code(code).send({ code, error: text })
  }

  app.post('/method', async (request, reply) => {
    const context = { request_id: request.id }
    const begun = process.hrtime.bigint()
    try {
      const response = await answer(request.body ?? Buffer.alloc(0), context)
      reply.header('x-request-id', request.id).send({ code: 200, response })
    } catch (error) {
      if (error instanceof Refused) refuse(request, reply, error.code, error.message)
      else refuse(request, reply, 500)
    }
    context.code = reply.statusCode
    context.duration = Number(process.hrtime.bigint() - begun) / 1e9
    request.log.info(context)
    return reply
  })
  app.route({
    method: ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'],
    url: '/method',
    handler: (request, reply) => refuse(request, reply.header('allow', 'POST'), 405)
  })
  app.setNotFoundHandler((request, reply) => refuse(request, reply, 404))
  app.setErrorHandler((error, request, reply) => refuse(request, reply, error.statusCode ?? 500))
  return app
}
