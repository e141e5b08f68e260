// The contract in the usual style of Fastify: a cluster with a worker for each core, ioredis with pipelines.

import cluster from 'node:cluster'
import { server } from './app.js'

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(process.env.WORKERS); worker++) cluster.fork()
} else {
  await server().listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 1024 })
}
