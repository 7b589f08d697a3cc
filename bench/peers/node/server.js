'use strict'

// The same work as the module does for apinizer, in Node: one pipelined
// connection to each Redis, environments in parallel, and the receipts of
// several deletes in one call after their answers.  An environment is greeted
// once, before its first undeployment.
//
// node server.js ROOT PORT REGISTRY_PORT

const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const modules = process.env.BENCH_MODULES
const fastify = require(path.join(modules, 'fastify'))({ ignoreTrailingSlash: true })
const Redis = require(path.join(modules, 'ioredis'))

const [root, port, registryPort] = process.argv.slice(2)
const PREFIX = '{cred}'

const scripts = {}
for (const name of ['delete', 'undeploy', 'acknowledge', 'again', 'stream']) {
  scripts['cred_' + name] = {
    numberOfKeys: 1,
    lua: fs.readFileSync(path.join(root, 'src/lua', name + '.lua'), 'utf8')
  }
}

function connect (host, port) {
  return new Redis({ host, port, enableAutoPipelining: true, scripts })
}

const registry = connect('127.0.0.1', Number(registryPort))
const environments = new Map()

function again (...args) {
  return registry.cred_again(PREFIX + ':positions', PREFIX, ...args)
}

// Compares what the environment remembers with what the registry knows, and has
// it count calls, as the module does for each connection

async function greet (name, env) {
  const [known, id, more] = await again(name, 'ask')
  const connection = env.prefix + ':connection:' + crypto.randomBytes(8).toString('hex')
  const [has, last, runId] = await env.redis.cred_stream(env.stream, env.prefix, id,
    connection, crypto.randomInt(1, 2 ** 30))

  let epoch = known
  let what = has === 0 ? 'lost' : more === 'more' ? 'more' : 'admit'
  do {
    [what, epoch] = await again(name, what, epoch, last, runId)
  } while (what === 'more')

  if (what !== 'admitted') throw new Error('the position has changed')

  env.connection = connection
  env.epoch = epoch
}

function environment (url) {
  let env = environments.get(url)
  if (!env) {
    const [, host, port, prefix] = /^redis:\/\/([^:/]+):(\d+)\?prefix=(.+)$/.exec(url)
    env = { redis: connect(host, Number(port)), prefix, stream: prefix + ':undeployments', connection: null, epoch: null }
    environments.set(url, env)
  }
  return env
}

// the state and, for acknowledge.lua, the error and the progress

async function undeploy (name, env, member) {
  try {
    if (env.epoch === null) await greet(name, env)
    const [progress, , , state] = await env.redis.cred_undeploy(env.stream, env.prefix,
      env.connection, member)
    // after the number of calls, the last id; then its gateways, of which there
    // are none, and their lease
    return [state, '', env.epoch + progress.slice(progress.indexOf(':'))]
  } catch (err) {
    return ['pending', err.message, '']
  }
}

let receipts = []

function acknowledge () {
  const args = receipts
  receipts = []
  registry.cred_acknowledge(PREFIX + ':audit', PREFIX, 1000, 60000, 100000,
    ...args)
    .catch(err => console.error('acknowledge:', err.message))
}

const environmentResult = {
  type: 'object',
  properties: {
    environmentName: { type: 'string' },
    success: { type: 'boolean' },
    message: { type: 'string' }
  }
}

const schema = {
  response: {
    200: {
      type: 'object',
      properties: {
        success: { type: 'boolean' },
        deploymentResult: {
          type: 'object',
          properties: {
            success: { type: 'boolean' },
            message: { type: 'string' },
            environmentResults: { type: 'array', items: environmentResult }
          }
        }
      }
    }
  }
}

const refusals = {
  unauthorized: [401, { error: 'unauthorized_client', error_description: 'Invalid token' }],
  forbidden: [403, { error: 'forbidden', error_description: 'You do not have permission to perform this action' }],
  not_found: [400, { error: 'bad_request', error_description: 'Credential was not found!' }],
  scope_not_found: [404, { error: 'not_found' }]
}

const CONTENT_TYPE = 'application/json;charset=UTF-8'

fastify.delete('/apiops/projects/:project/credentials/:username/', { schema }, async (request, reply) => {
  reply.header('Content-Type', CONTENT_TYPE).header('Cache-Control', 'no-store')

  const token = /^bearer +(\S+) *$/i.exec(request.headers.authorization || '')
  if (!token) {
    reply.code(401).header('WWW-Authenticate', 'Bearer')
    return refusals.unauthorized[1]
  }

  const operation = crypto.randomBytes(16).toString('hex')
  const hash = crypto.createHash('sha256').update(token[1]).digest('hex')

  const answer = await registry.cred_delete(PREFIX + ':audit', PREFIX,
    12000, 'apinizer', 1, 0, '', 0, Date.now() + 2000, 100000, operation, hash, '',
    request.params.project, request.params.username,
    request.headers['x-real-ip'] || request.ip, '', '', 'all')

  const [, result, , , member, first, count] = answer

  if (result !== 'deleted') {
    const [status, body] = refusals[result] || [503, { error: 'server_error' }]
    if (status === 401) reply.header('WWW-Authenticate', 'Bearer')
    reply.code(status)
    return body
  }

  const tasks = []

  for (let i = first; i < first + 4 * count; i += 4) {
    const name = answer[i]
    const env = environment(answer[i + 1])
    const start = Date.now()

    tasks.push(undeploy(name, env, member)
      .then(([state, error, progress]) => {
        if (receipts.length === 0) setImmediate(acknowledge)
        receipts.push(name, member, state, error, Date.now() - start, progress, '', '')
        const success = state !== 'pending'
        return {
          environmentName: name,
          success,
          message: success ? 'Undeployed successfully' : 'Environment is unreachable, undeployment will be retried'
        }
      }))
  }

  const environmentResults = await Promise.all(tasks)
  environmentResults.sort((a, b) => a.environmentName < b.environmentName ? -1 : 1)
  const pending = environmentResults.filter(r => !r.success).length

  reply.header('Cred-Operation', operation)

  return {
    success: true,
    deploymentResult: {
      success: pending === 0,
      message: tasks.length === 0
        ? 'No environment is registered'
        : pending === 0
        ? 'Undeployment completed successfully'
        : `Undeployment is pending in ${pending} of ${tasks.length} environments`,
      environmentResults
    }
  }
})

fastify.listen({ host: '127.0.0.1', port: Number(port) })
  .catch(err => { console.error(err); process.exit(1) })
