// Lists a hub's agents, then prints its events as they happen. All that it knows of Seawall is the protos.
//
//   node watch.js HUB FOLDER [AFTER]
//   node watch.js hub.example.org:7444 /var/lib/seawall-hub 1200
//
// HUB     the mTLS listener
// FOLDER  with ca.crt, operator.crt, operator.key: the hub's data folder, or a copy of these three
// AFTER   the last sequence that was seen; without it: from now on
//
// Each line is JSON. Ctrl-C ends it. Exit status: 0 when ended by Ctrl-C or SIGTERM, 1 when the hub refuses or cannot be reached.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const PROTOS = process.env.SEAWALL_PROTOS || path.resolve(__dirname, "../../../protos");
const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true, includeDirs: [PROTOS] };
const FIRST_RETRY_MILLISECONDS = 500;
const LONGEST_RETRY_MILLISECONDS = 30_000;

function load() {
  const files = ["agent", "event"].map((name) => `seawall/hub/v1/${name}.proto`);
  return grpc.loadPackageDefinition(protoLoader.loadSync(files, OPTIONS)).seawall.hub.v1;
}

function credentials(folder) {
  const read = (name) => fs.readFileSync(path.join(folder, name));
  return grpc.credentials.createSsl(read("ca.crt"), read("operator.key"), read("operator.crt"));
}

// The reason in google.rpc.ErrorInfo, which programs tell errors apart by. grpc-js leaves the details as bytes.
function reasonOf(error) {
  const bytes = error.metadata?.get("grpc-status-details-bin")[0];
  if (!bytes) return "";
  const status = STATUS.deserialize(bytes);
  const info = status.details.find((detail) => detail.type_url.endsWith("/google.rpc.ErrorInfo"));
  return info ? INFO.deserialize(info.value).reason : "";
}

// google.rpc.Status and ErrorInfo are not part of the hub's protos; these are the fields of them that are read here.
const RPC = protoLoader.fromJSON(
  {
    nested: {
      Any: { fields: { type_url: { type: "string", id: 1 }, value: { type: "bytes", id: 2 } } },
      Status: { fields: { details: { rule: "repeated", type: "Any", id: 3 } } },
      ErrorInfo: { fields: { reason: { type: "string", id: 1 } } },
      Reader: {
        methods: {
          Status: { requestType: "Any", responseType: "Status" },
          Info: { requestType: "Any", responseType: "ErrorInfo" },
        },
      },
    },
  },
  { defaults: true },
).Reader;
const STATUS = { deserialize: RPC.Status.responseDeserialize };
const INFO = { deserialize: RPC.Info.responseDeserialize };

function print(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function fail(error) {
  print({ error: { code: grpc.status[error.code], reason: reasonOf(error), message: error.details } });
  process.exit(1);
}

function listAgents(client, pageToken, then) {
  client.ListAgents({ page_size: 1000, page_token: pageToken }, { deadline: Date.now() + 10_000 }, (error, page) => {
    if (error) return fail(error);
    for (const agent of page.agents) print({ agent: agent.name, state: agent.state, labels: agent.labels });
    return page.next_page_token ? listAgents(client, page.next_page_token, then) : then();
  });
}

// Goes on behind the last sequence whenever the hub is away for a while, so that no event is missed and none comes twice.
function watch(client, after, retryMilliseconds = FIRST_RETRY_MILLISECONDS) {
  let seen = after;
  let wait = retryMilliseconds;
  const begun = seen !== undefined;
  const stream = client.WatchEvents(begun ? { after_sequence: seen } : {});
  stream.on("data", (response) => {
    if (response.event) print({ event: response.event.type, subject: response.event.subject, sequence: response.sequence });
    else if (!begun && seen === undefined) print({ watching: response.sequence });
    seen = response.sequence;
    wait = FIRST_RETRY_MILLISECONDS;
  });
  stream.on("error", (error) => {
    if (reasonOf(error) && error.code !== grpc.status.UNAVAILABLE) return fail(error); // without a reason, it is the connection's
    const jittered = wait * (0.5 + Math.random() / 2);
    setTimeout(() => watch(client, seen, Math.min(wait * 2, LONGEST_RETRY_MILLISECONDS)), jittered);
  });
}

function main([hub, folder, after]) {
  if (!hub || !folder) {
    process.stderr.write("Say which hub, and where the operator's certificate is: node watch.js HUB FOLDER [AFTER]\n");
    process.exit(2);
  }
  const api = load();
  const secrets = credentials(folder);
  const options = { "grpc.enable_http_proxy": 0 };
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
  listAgents(new api.AgentService(hub, secrets, options), "", () => watch(new api.EventService(hub, secrets, options), after));
}

main(process.argv.slice(2));
