/** An input that is taken as it is: neither copied nor compared, as a graph, whose values and nodes know each other. */
export class Given<T> {
  readonly value: T;

  constructor(value: T) {
    this.value = value;
  }
}
