import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type DockerKind, probeDocker } from '../../../discovery/health/docker-probe.ts'
import { ProbeTimeoutError } from '../../../discovery/health/probe.ts'

const START_MS_MAX = 60_000
const limit = (outputMax = 4_096) => ({ signal: AbortSignal.timeout(30_000), outputMax })
const docker = (container: string, args: string[], shell = ''): DockerKind => ({
  type: 'docker',
  container,
  shell,
  args,
})

t.test('no engine is critical with the reason', async (t) => {
  const result = await probeDocker(docker('c', ['true']), '/nonexistent/docker.sock', limit())
  t.match(result, { status: 'critical', output: /no Docker engine answers at \/nonexistent\/docker.sock/ })
})

t.test('against an engine that keeps the rules of its interface', async (t) => {
  const engine = await fakeEngine(t)
  t.same(await probeDocker(docker('web', ['/bin/fine']), engine.socket, limit()), {
    status: 'passing',
    output: 'out of /bin/fine\nerr of /bin/fine\n',
  })
  t.match(await probeDocker(docker('web', ['/bin/warns']), engine.socket, limit()), { status: 'warning' })
  t.match(await probeDocker(docker('web', ['/bin/fails']), engine.socket, limit()), { status: 'critical' })
  await probeDocker(docker('web', ['a', 'b'], '/bin/sh'), engine.socket, limit())
  t.same(engine.commands.at(-1), ['/bin/sh', '-c', 'a b'])
  t.match(await probeDocker(docker('gone', ['/bin/fine']), engine.socket, limit()), {
    status: 'critical',
    output: /container gone: No such container: gone/,
  })
  t.match(await probeDocker(docker('paused', ['/bin/fine']), engine.socket, limit()), {
    status: 'critical',
    output: /is paused/,
  })
  const abort = new AbortController()
  const hanging = probeDocker(docker('web', ['/bin/hangs']), engine.socket, {
    signal: abort.signal,
    outputMax: 4_096,
  })
  while (engine.commands.at(-1)?.[0] !== '/bin/hangs') await delay(5)
  abort.abort(new ProbeTimeoutError(3_000))
  t.match(await hanging, { status: 'critical', output: /^Timed out \(3s\) running check/ })
  t.same(engine.faults, [])
})

/** The exec part of the Engine API 1.44: create, start, inspect, in that order and with what each wants. */
async function fakeEngine(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'constellation-docker-'))
  const socket = join(folder, 'docker.sock')
  const commands: string[][] = []
  const faults: string[] = []
  const execs = new Map<string, { command: string[]; started: boolean; done: boolean }>()
  const frame = (stream: 1 | 2, text: string) => {
    const header = Buffer.alloc(8)
    header.writeUInt8(stream, 0)
    header.writeUInt32BE(text.length, 4)
    return Buffer.concat([header, Buffer.from(text)])
  }
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const reply = (code: number, value: unknown) =>
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    const path = request.url ?? ''
    const create = /^\/containers\/([^/]+)\/exec$/.exec(path)
    const exec = /^\/exec\/([^/]+)\/(start|json)$/.exec(path)
    if (request.method === 'POST' && !/^application\/json/.test(request.headers['content-type'] ?? '')) {
      faults.push(`${path}: no JSON`)
    }
    if (create !== null && request.method === 'POST') {
      const { Cmd, AttachStdout, AttachStderr } = JSON.parse(body)
      if (!Array.isArray(Cmd) || Cmd.length === 0) return reply(400, { message: 'No exec command specified' })
      if (!AttachStdout || !AttachStderr) faults.push('the output is not attached')
      if (create[1] === 'gone') return reply(404, { message: 'No such container: gone' })
      if (create[1] === 'paused') return reply(409, { message: 'Container paused is paused' })
      const id = `exec${execs.size}`
      execs.set(id, { command: Cmd, started: false, done: false })
      return reply(201, { Id: id })
    }
    const known = execs.get(exec?.[1] ?? '')
    if (known === undefined) return reply(404, { message: `No such exec instance: ${path}` })
    if (exec?.[2] === 'json' && request.method === 'GET') {
      const codes: Record<string, number> = { '/bin/warns': 1, '/bin/fails': 3 }
      return reply(200, {
        Running: !known.done,
        ExitCode: known.done ? (codes[known.command[0] ?? ''] ?? 0) : null,
      })
    }
    if (request.method !== 'POST') return reply(405, { message: 'method not allowed' })
    if (known.started) return reply(409, { message: 'exec has already run' })
    const { Detach, Tty } = JSON.parse(body)
    if (Detach || Tty) faults.push('detached, or with a terminal')
    known.started = true
    commands.push(known.command)
    response.writeHead(200, { 'content-type': 'application/vnd.docker.raw-stream' })
    if (known.command[0] === '/bin/hangs') {
      response.write(frame(1, 'waiting\n'))
      return
    }
    const out = Buffer.concat([
      frame(1, `out of ${known.command[0]}\n`),
      frame(2, `err of ${known.command[0]}\n`),
    ])
    // In pieces that no frame ends with.
    response.write(out.subarray(0, 11))
    await delay(5)
    known.done = true
    return response.end(out.subarray(11))
  })
  server.listen(socket)
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { socket, commands, faults }
}

t.test('against a real Docker engine', async (t) => {
  const missing = ['/usr/sbin/dockerd', '/bin/busybox'].filter((program) => !existsSync(program))
  if (missing.length > 0 || process.getuid?.() !== 0) {
    t.comment(`skipped: needs root, ${missing.join(' and ') || 'dockerd and busybox-static'}`)
    return
  }
  const engine = await realEngine(t)
  if (engine === null) {
    t.comment('skipped: dockerd does not start here')
    return
  }
  const { socket, container } = engine
  t.same(await probeDocker(docker(container, ['/bin/busybox', 'echo', 'hello']), socket, limit()), {
    status: 'passing',
    output: 'hello\n',
  })
  const shell = (script: string) => docker(container, [script], '/bin/sh')
  t.match(await probeDocker(shell('exit 1'), socket, limit()), { status: 'warning', output: '' })
  t.match(await probeDocker(shell('echo bad >&2; exit 7'), socket, limit()), {
    status: 'critical',
    output: 'bad\n',
  })
  t.match(await probeDocker(docker('nobody', ['true']), socket, limit()), {
    status: 'critical',
    output: /No such container: nobody/,
  })
  t.match(await probeDocker(docker(container, ['/bin/none']), socket, limit()), { status: 'critical' })
  const short = await probeDocker(shell('sleep 60'), socket, {
    signal: AbortSignal.timeout(500),
    outputMax: 100,
  })
  t.equal(short.status, 'critical')
})

/** A dockerd of its own with one running container, all below one folder; null if it does not start. */
async function realEngine(t: Test): Promise<{ socket: string; container: string } | null> {
  const folder = mkdtempSync(join(tmpdir(), 'constellation-dockerd-'))
  const socket = join(folder, 'docker.sock')
  const options = ['--host', `unix://${socket}`, '--data-root', join(folder, 'data')]
  const state = ['--exec-root', join(folder, 'exec'), '--pidfile', join(folder, 'pid')]
  const alone = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--storage-driver=vfs']
  const daemon = spawn('/usr/sbin/dockerd', [...options, ...state, ...alone], { stdio: 'ignore' })
  t.teardown(async () => {
    await ended(daemon)
    rmSync(folder, { recursive: true, force: true })
  })
  // By the interface of the engine, as Debian's docker client is a package of its own.
  const call = (method: string, path: string, body?: string | Buffer, type = 'application/json') =>
    new Promise<{ code: number; text: string }>((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': type }
      const request = http.request({ socketPath: socket, method, path, headers }, async (response) => {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve({ code: response.statusCode ?? 0, text })
      })
      request.on('error', reject)
      request.end(body)
    })
  const deadline = performance.now() + START_MS_MAX
  for (;;) {
    const up = await call('GET', '/_ping').catch(() => null)
    if (up?.code === 200) break
    if (daemon.exitCode !== null || performance.now() > deadline) return null
    await delay(100)
  }
  const root = join(folder, 'image')
  mkdirSync(join(root, 'bin'), { recursive: true })
  execFileSync('cp', ['/bin/busybox', join(root, 'bin/busybox')])
  execFileSync('ln', ['-s', 'busybox', join(root, 'bin/sh')])
  const tar = execFileSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 64 * 1024 * 1024 })
  const image = 'constellation-test'
  await call('POST', `/images/create?fromSrc=-&repo=${image}`, tar, 'application/x-tar')
  const config = {
    Image: image,
    Cmd: ['/bin/busybox', 'sleep', '600'],
    HostConfig: { NetworkMode: 'none' },
  }
  const created = await call('POST', '/containers/create', JSON.stringify(config))
  const container: string = JSON.parse(created.text).Id
  const started = await call('POST', `/containers/${container}/start`)
  if (started.code !== 204) {
    t.comment(`the container does not start: ${started.text}`)
    return null
  }
  t.teardown(() => call('DELETE', `/containers/${container}?force=1`).catch(() => null))
  return { socket, container }
}

async function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null) return
  const exit = once(daemon, 'exit')
  daemon.kill('SIGTERM')
  const timer = setTimeout(() => daemon.kill('SIGKILL'), 20_000)
  await exit
  clearTimeout(timer)
}
