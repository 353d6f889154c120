import { RE2JS } from 're2js'
import type { NodeRecord } from '../catalog/types.ts'
import { EventError } from './errors.ts'
import { EVENT_LIMITS, type EventSpec } from './types.ts'

/** What an event says about whom it is for. */
export type EventFilters = Pick<EventSpec, 'nodeFilter' | 'serviceFilter' | 'tagFilter'>

/** The part of a node's record that filters look at. */
export type FilteredNode = Pick<NodeRecord, 'name' | 'services'>

type Matcher = (text: string) => boolean

const matchAll: Matcher = () => true

/**
 * Compiles the filters of an event into one question: is it for this node? A filter may match anywhere in the text. Node:
 * its name. Service and tag: a service on it with such a name, and with such a tag. The engine takes time linear in the
 * text, whatever the expression: a filter comes from another machine and runs on every one.
 * @throws EventError `EVT_INVALID` naming the filter
 */
export function compileFilters(filters: EventFilters): (node: FilteredNode) => boolean {
  const { nodeFilter, serviceFilter, tagFilter } = filters
  if (tagFilter !== '' && serviceFilter === '') {
    throw new EventError('EVT_INVALID', 'Tag filter provided without service filter')
  }
  const node = compile('node', nodeFilter)
  const service = compile('service', serviceFilter)
  const tag = compile('tag', tagFilter)
  return ({ name, services }) => {
    if (!node(name)) return false
    if (serviceFilter === '') return true
    const wanted = [...services.values()].filter((instance) => service(instance.name))
    return wanted.some(({ tags }) => tagFilter === '' || tags.some(tag))
  }
}

function compile(what: string, expression: string): Matcher {
  if (expression === '') return matchAll
  const { filterChars, filterInstructions } = EVENT_LIMITS
  const invalid = (reason: string) => new EventError('EVT_INVALID', `Invalid ${what} filter: ${reason}`)
  if (expression.length > filterChars) {
    throw invalid(`it has ${expression.length} characters, the limit is ${filterChars}`)
  }
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(expression)
  } catch (error) {
    throw invalid((error as Error).message)
  }
  if (compiled.programSize() > filterInstructions) throw invalid('it is too complex')
  const cache = new Map<string, boolean>()
  return (text) => {
    const known = cache.get(text)
    if (known !== undefined) return known
    const matches = compiled.test(text)
    cache.set(text, matches)
    return matches
  }
}
