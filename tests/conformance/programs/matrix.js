// node-postgres, whose tests are not in its package: every way it has to talk to a server.
// Prints what it sees. Run with NODE_PATH at a folder with pg, pg-cursor and pg-copy-streams; address in PG*.
'use strict'
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')
const { pipeline } = require('node:stream/promises')
const { Readable } = require('node:stream')

const say = (what, value) => console.log(`${what}: ${JSON.stringify(value)}`)
const failure = (e) => [e.code, e.message, e.position, e.severity, e.detail, e.hint, e.constraint]

async function values(client) {
  for (const value of [1, 'käse', null, true, Buffer.from([0, 255]), [1, 2], { a: [1] }]) {
    const type = Array.isArray(value) ? 'int[]' : Buffer.isBuffer(value) ? 'bytea' : 'text'
    const text = type === 'text' && value !== null ? String(JSON.stringify(value)) : value
    say('value', (await client.query(`SELECT $1::${type} AS v`, [text])).rows)
  }
  for (let n = 0; n < 5; n++) {
    say('named', (await client.query({ name: 'plus', text: 'SELECT $1::int + 1 AS n', values: [n] })).rows)
  }
  say('array mode', (await client.query({ text: 'SELECT 1, 2', rowMode: 'array' })).rows)
  say('several', (await client.query('SELECT 1 AS a; SELECT 2 AS b')).map((r) => r.rows))
  say('empty', (await client.query('')).command)
  const fields = (await client.query('SELECT 1::int8 AS big, now() AS t WHERE false')).fields
  say('fields', fields.map((f) => [f.name, f.dataTypeID, f.dataTypeSize, f.format]))
  say('binary', (await client.query({ text: 'SELECT 7::int', binary: true })).rows)
}

async function errors(client) {
  for (const text of ['SELECT nope', 'SELECT * FROM nowhere', 'SELEC 1', 'SELECT 1/0', 'SELECT 1; SELECT 1/0']) {
    await client.query(text).catch((e) => say('error', [text, ...failure(e)]))
  }
  await client.query('SELECT $1::int', ['x']).catch((e) => say('error', failure(e)))
  await client.query('SELECT $1::int + $2::int', ['1']).catch((e) => say('error', failure(e)))
  await client.query({ name: 'bad', text: 'SELECT * FROM nowhere WHERE a = $1', values: [1] })
    .catch((e) => say('error', failure(e)))
  await client.query('BEGIN')
  await client.query('SELECT 1/0').catch(() => {})
  await client.query('SELECT 1').catch((e) => say('aborted', failure(e)))
  await client.query('ROLLBACK')
}

async function cursors(client) {
  await client.query('BEGIN')
  const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, $1::int) g', [250]))
  const sizes = []
  for (let rows; (rows = await cursor.read(100)).length > 0; ) sizes.push(rows.length)
  say('cursor', sizes)
  await cursor.close()
  const early = client.query(new Cursor('SELECT g FROM generate_series(1, 100000) g'))
  say('early', (await early.read(10)).length)
  await early.close()
  await client.query('COMMIT')
  const bad = client.query(new Cursor('SELECT 1/(g-5) FROM generate_series(1, 10) g'))
  await bad.read(100).catch((e) => say('cursor error', failure(e)))
  say('after', (await client.query('SELECT 1 AS one')).rows)
}

async function copies(client) {
  await client.query('CREATE TEMP TABLE c (a int, b text)')
  const lines = function* () { for (let n = 0; n < 20000; n++) yield `${n}\trow ${n}\n` }
  await pipeline(Readable.from(lines()), client.query(copyFrom('COPY c FROM STDIN')))
  say('copied', (await client.query('SELECT count(*), sum(a) FROM c')).rows)
  let size = 0
  for await (const chunk of client.query(copyTo('COPY c TO STDOUT'))) size += chunk.length
  say('copy out', size)
  await pipeline(Readable.from(['1\tx\nbad\ty\n']), client.query(copyFrom('COPY c FROM STDIN')))
    .catch((e) => say('copy error', [e.code, e.message, e.where]))
  say('after', (await client.query('SELECT count(*) FROM c')).rows)
}

async function notifications(client) {
  const heard = []
  const all = new Promise((done) => client.on('notification', (m) => {
    heard.push([m.channel, m.payload])
    if (heard.length === 3) done()
  }))
  await client.query('LISTEN channel')
  const other = new Client()
  await other.connect()
  for (const word of ['a', 'b', 'c']) await other.query('SELECT pg_notify($1, $2)', ['channel', word])
  await other.end()
  await all
  say('heard', heard)
  const notices = []
  client.on('notice', (n) => notices.push(n.message))
  await client.query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")
  say('notices', notices)
}

async function cancels() {
  const client = new Client()
  await client.connect()
  const long = client.query('SELECT pg_sleep(30)').catch((e) => say('cancelled', failure(e)))
  const net = require('node:net').connect(Number(process.env.PGPORT), process.env.PGHOST)
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(80877102, 4)
  request.writeInt32BE(client.processID, 8)
  request.writeInt32BE(client.secretKey, 12)
  setTimeout(() => net.end(request), 300)
  await long
  say('alive', (await client.query('SELECT 1 AS one')).rows)
  await client.end()
}

async function pools() {
  const pool = new Pool({ max: 4 })
  const all = Array.from({ length: 40 }, (_, n) => pool.query('SELECT $1::int AS n', [n]))
  say('pool', (await Promise.all(all)).reduce((sum, r) => sum + r.rows[0].n, 0))
  await pool.end()
  const client = new Client()
  await client.connect()
  // queued at once: node-postgres sends each as soon as the one before is answered
  const queued = ['SELECT 1 AS n', 'SELECT 1/0', 'SELECT 3 AS n'].map((t) => client.query(t).then((r) => r.rows, failure))
  say('queued', await Promise.all(queued))
  await client.end()
  const stranger = new Client({ password: 'wrong' })
  await stranger.connect().catch((e) => say('wrong password', [e.code, e.severity]))
}

async function main() {
  const client = new Client()
  await client.connect()
  for (const part of [values, errors, cursors, copies, notifications]) await part(client)
  await client.end()
  await cancels()
  await pools()
}

main().catch((e) => { console.error('ended by', e); process.exitCode = 1 })
