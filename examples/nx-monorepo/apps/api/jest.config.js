// The tests of the API use the published libraries, as the API does.
module.exports = { moduleNameMapper: { "^@example/(.*)$": "<rootDir>/../../dist/libs/$1" } };
