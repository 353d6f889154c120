import { fileURLToPath } from 'node:url'
import { runDev } from '../../../agent/cli/dev/cluster.ts'

/* `dev` with the fake agent in a process of its own, so that a test can kill it: fake-dev.ts FOLDER HTTP_PORT NODES */
const [dataDir = '', httpPort = '', nodes = ''] = process.argv.slice(2)
const never = new AbortController().signal
process.exitCode = await runDev(
  { dataDir, httpPort: Number(httpPort), nodes: Number(nodes), logLevel: 'warn' },
  {
    program: {
      command: process.execPath,
      args: [fileURLToPath(new URL('fake-agent.ts', import.meta.url))],
    },
    print: (text) => process.stdout.write(`${text}\n`),
    stop: never,
    kill: never,
  },
)
