import type fc from 'fast-check'

/** A property with what it says. */
export interface NamedProperty {
  readonly name: string
  // biome-ignore lint/suspicious/noExplicitAny: properties of all inputs are in one list.
  readonly property: fc.IAsyncProperty<any> | fc.IProperty<any>
}
