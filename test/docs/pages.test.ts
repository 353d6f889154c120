import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { inProcess } from '../agent/cli/run.ts'
import { codeBlocks, PAGES, page, ROOT } from './pages.ts'

/** The anchors of the headings of a page, as GitHub makes them. */
function anchors(text: string): readonly string[] {
  const prose = text.replace(/^```.*?^```$/gms, '')
  return [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** The command lines of a page that begin with this program, without prompt and comment. */
function commandLines(text: string, program: string): readonly string[] {
  return codeBlocks(text)
    .flatMap(({ code }) => code.split('\n'))
    .map((line) => line.replace(/^(?:\w*\$ )?(?:.*[|&] )?(?:sudo )?/, '').replace(/ +#.*$/, ''))
    .filter((line) => line.startsWith(`${program} `))
}

t.test('links lead somewhere', (t) => {
  let links = 0
  for (const path of PAGES) {
    for (const [, target = ''] of page(path).matchAll(/\]\((?!https?:)([^)\s]*)\)/g)) {
      links++
      const [file = '', anchor] = target.split('#')
      const linked = file === '' ? path : join(dirname(path), file)
      t.ok(existsSync(join(ROOT, linked)), `${path}: ${target}`)
      if (anchor !== undefined) t.ok(anchors(page(linked)).includes(anchor), `${path}: ${target}`)
    }
  }
  t.ok(links > 40, 'the links were read')
  t.end()
})

t.test('commands and their flags exist', async (t) => {
  const lines = PAGES.flatMap((path) => commandLines(page(path), 'constellation'))
  t.ok(lines.length > 20, 'the commands were read')
  for (const line of new Set(lines)) {
    const words = line.split(' ').slice(1)
    const [command = '', next = ''] = words
    const optional = ['services', 'maint'].includes(command) && /^[a-z]/.test(next)
    const path = optional || ['kv', 'raft', 'snapshot'].includes(command) ? [command, next] : [command]
    const { code, out } = await inProcess(...path, '--help')
    t.equal(code, 0, line)
    t.match(out, `Usage: constellation ${path.join(' ')}`, line)
    for (const flag of words.filter((word) => word.startsWith('--'))) t.match(out, flag, line)
  }
})

t.test('the scripts have the flags that are named', (t) => {
  for (const script of ['scripts/install.sh', 'scripts/verify.sh']) {
    const usage = /^USAGE="(.*?)^Exit codes/ms.exec(page(script))?.[1] ?? ''
    t.match(usage, '--help', script)
    const flags = PAGES.flatMap((path) => [
      ...page(path).matchAll(new RegExp(`${script}((?: --[a-z-]+)+)`, 'g')),
    ]).flatMap(([, text = '']) => text.trim().split(' '))
    t.ok(flags.length > 0, script)
    for (const flag of flags) t.match(usage, flag, script)
  }
  const guide = page('docs/guide.md')
  for (const line of [
    'started; check it with scripts/verify.sh, see its log with journalctl -fu constellation',
    'constellation.service is active and enabled',
    'every other node of the cluster needs the same file',
  ]) {
    t.match(guide, line)
    t.match(page('scripts/install.sh') + page('scripts/verify.sh'), line)
  }
  t.end()
})
