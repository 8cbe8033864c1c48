// Microsoft's own parser of the Kusto Query Language: reads {schema, queries}, writes for each query its columns or its errors.
const root = process.argv[2];
require(`${root}/bridge.min.js`);
require(`${root}/Kusto.Language.Bridge.min.js`);
const { Symbols, GlobalState, KustoCode } = Kusto.Language;
const { schema, queries } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const tables = Object.entries(schema).map(([name, columns]) =>
  Symbols.TableSymbol.From(`(${columns.map(([column, type]) => `['${column}']: ${type}`).join(", ")})`).WithName(name));
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1("db", tables));
const list = (held) => Array.from({ length: held.Count }, (_, at) => held.getItem(at));
process.stdout.write(JSON.stringify(queries.map((query) => {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const errors = list(code.GetDiagnostics()).filter((one) => one.Severity === "Error").map((one) => one.Message);
  const columns = code.ResultType && code.ResultType.Columns;
  return { errors, columns: columns ? list(columns).map((one) => [one.Name, one.Type.Name]) : [] };
})));
