type Optional<Value> = {
  [Key in keyof Value as undefined extends Value[Key] ? Key : never]?: Exclude<Value[Key], undefined>;
};
type Required<Value> = { [Key in keyof Value as undefined extends Value[Key] ? never : Key]: Value[Key] };

/** What is there of an object: keys that are undefined are left out, as exact optional properties want it. Pure. */
export function present<Value extends object>(given: Value): Required<Value> & Optional<Value> {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as Required<Value> & Optional<Value>;
}
