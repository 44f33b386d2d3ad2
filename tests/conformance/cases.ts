/** The one list of cases that Node and every browser run. */
import { cacheCases } from "../cache/cases.ts";
import { lawCases } from "../invariance/laws.ts";
import { contractCases } from "./contract.ts";
import { errorCases } from "./errors.ts";
import { functionCases } from "./functions.ts";
import type { Case, Context } from "./harness.ts";
import { operatorCases } from "./operators.ts";
import { planCases } from "./plan.ts";
import { propertyCases } from "./properties.ts";
import { sdpaCases } from "./sdpa.ts";

export async function allCases(load: Context["load"]): Promise<Case[]> {
  const cases = [
    ...(await contractCases(load)),
    ...(await sdpaCases(load)),
    ...functionCases,
    ...(await operatorCases(load)),
    ...propertyCases,
    ...planCases,
    ...lawCases,
    ...cacheCases,
    ...errorCases,
  ];
  const names = new Set(cases.map(({ name }) => name));
  if (names.size !== cases.length) throw new Error("two cases have the same name");
  return cases;
}
