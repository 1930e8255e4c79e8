// Compiled by tests/clients.rs: the types fit the way in which the client is used.

import { Genstore, GenstoreError, type Publication } from "genstore";

export async function use(): Promise<Publication> {
  const genstore = new Genstore({ directory: "site", lockTimeout: "10s" });
  for await (const { event, generation } of genstore.watch({ build: ["make"], paths: ["src"] })) {
    if (event === "published") console.log(generation);
  }
  const { generation } = await genstore.current();
  try {
    const stage = await genstore.begin({ ttl: "1h" });
    return await stage.commit({ expect: generation, facts: { commit: "1f3a9c" } });
  } catch (error) {
    if (!(error instanceof GenstoreError) || error.code !== "lost-compare-and-set") throw error;
  }
  await genstore.rollback({ steps: 1 });
  await genstore.wait({ after: "@", signal: AbortSignal.timeout(10) });
  // @ts-expect-error: "maybe" is no durability
  await genstore.publish("dist", { durability: "maybe" });
  return genstore.publishPlan([{ path: "a", bytes: new Uint8Array(2), mode: 0o755 }], { dryRun: true });
}
