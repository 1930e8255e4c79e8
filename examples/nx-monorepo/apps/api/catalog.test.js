const { catalog, releases } = require("@example/catalog");

test("the libraries that are published answer together", () => {
  expect(catalog()).toContainEqual({ name: "apple", price: "0.40 EUR" });
  expect(new Set(releases()).size).toBe(1);
  // The script `day` knows which one.
  expect(process.env.RELEASE ?? releases()[0]).toBe(releases()[0]);
});
