// What the scripts of this folder share: two tools, and how their parts are run and told.

export const TOOLS = {
  get_weather: { field: "city", run: ({ city }) => `sunny in ${city}` },
  get_time: { field: "zone", run: ({ zone }) => `12:34 in ${zone}` },
};

/** Runs each function by its name; a failure is told in place of the result and stops nothing. */
export async function run(parts) {
  const told = {};
  for (const [name, part] of Object.entries(parts)) {
    try {
      told[name] = await part();
    } catch (error) {
      told[name] = { failed: `${error.name}: ${error.message}` };
    }
  }
  console.log(JSON.stringify(told));
}
