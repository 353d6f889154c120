import { type Fields, record, records } from '../client-command.ts'
import { printable, renderTable } from '../table.ts'

/** What `constellation traefik explain` prints of the answer of the API. */
export function explainText(answer: Fields): string {
  return [head(answer), instancesText(records(answer.instances)), problemsText(answer)]
    .filter((part) => part !== '')
    .join('\n')
}

function head({ reason, counts, held, gone }: Fields): string {
  const { routers, services, servers } = record(counts)
  const lines = [
    typeof reason === 'string' ? `not served: ${printable(reason)}` : 'served',
    `${routers} routers, ${services} services, ${servers} servers`,
  ]
  const list = (value: unknown) => (Array.isArray(value) ? value.map((each) => printable(String(each))) : [])
  if (list(held).length > 0) lines.push(`held, for many lost all servers at once: ${list(held).join(', ')}`)
  if (list(gone).length > 0)
    lines.push(`without instances, routers stay for a while: ${list(gone).join(', ')}`)
  return `${lines.join('\n')}\n`
}

function instancesText(instances: readonly Fields[]): string {
  return instances
    .map((instance) => {
      const source = typeof instance.source === 'string' ? ` (${printable(instance.source)})` : ''
      const where = `${printable(String(instance.service))} on ${printable(String(instance.node))}, ${printable(String(instance.instance))}${source}`
      const servers = Object.entries(record(instance.servers)).flatMap(([key, list]) =>
        (Array.isArray(list) ? list : []).map(
          (address) => `  server  ${printable(String(address))} of ${printable(key)}\n`,
        ),
      )
      const fate =
        instance.inDocument === true
          ? 'in the document'
          : `not in the document: ${printable(String(instance.why))}`
      const rows = records(instance.labels).map(({ label, fate, why }) => [
        String(label),
        String(fate),
        String(why ?? ''),
      ])
      return `${where}: ${fate}\n${servers.join('')}${renderTable(['LABEL', 'FATE', 'WHY'], rows, 'no labels')}`
    })
    .join('\n')
}

function problemsText({ problems, instances }: Fields): string {
  const list = records(problems)
  if (instances !== undefined) return ''
  if (list.length === 0) return 'no problems\n'
  return `${list.map(({ code, message }) => `${printable(String(code))}: ${printable(String(message))}`).join('\n')}\n`
}
