/**
 * Whether this program has anything in it that calls operators: then `init` loads their module too. What calls them
 * imports the session, and a bundler drops the session from a program that has no use for it.
 */
let wanted = false;

/** Notes it, and gives back what needs operators. */
export function wantOperators<T>(user: T): T {
  wanted = true;
  return user;
}

/** Whether the session is part of the program so far. */
export function areOperatorsWanted(): boolean {
  return wanted;
}
