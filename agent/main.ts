// Before anything that may need a thread.
import './thread-pool.ts'
import { runCli } from './cli/run-cli.ts'

// The reader of a pipe may leave before everything was said (`constellation kv list | head`); that is no failure.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

const { env, stdout, stderr } = process
// The getter opens standard input, which only the commands that read it should do.
const io = {
  env,
  stdout,
  stderr,
  get stdin() {
    return process.stdin
  },
  exitCode: 0,
}
runCli(process.argv.slice(2), io).then((exitCode) => {
  process.exitCode = exitCode
})
