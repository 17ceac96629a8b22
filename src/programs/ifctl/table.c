/* The one table: a new command or option is a row here and a page in docs/commands/. */
#include "base/global_flags.h"
#include "cli.h"

#define LATER(name, group, roles, words, options, summary) {name, group, 0, 16, NULL, CMD_LATER | CMD_FREE, roles, words, options, summary}
#define LATER_WHY(name, group, roles, words, options, summary)                                                 \
    {                                                                                                          \
        name, group, 0, 16, NULL, CMD_LATER | CMD_FREE | CMD_WHY | CMD_CHANGES, roles, words, options, summary \
    }
/* Whom the daemon lets do it: the columns of its routes, of all that a command asks. Tests compare both. */
#define HERE    ""     /* asks no fabric, or only what is open */
#define OPEN    "open" /* needs no token: a signature or a code decides */
#define ALL     "agent readonly auditor operator admin"
#define LIST    "readonly auditor operator admin"
#define AUDIT   "auditor operator admin"
#define OPERATE "operator admin"
#define ACT     "agent operator admin"
#define OWN     "agent auditor operator admin"
#define CHANGE (CMD_WHY | CMD_CHANGES)

const struct cli_command cli_commands[] = {
    /* start */
    {"init", "start", 0, 1, cmd_init, CMD_CHANGES, HERE, "[DIR]", "http name", "make a new fabric"},
    {"doctor", "start", 0, 0, cmd_doctor, 0, HERE, "", "", "check directory, keys, configuration, clock and daemon"},
    {"version", "start", 0, 0, cmd_version, 0, HERE, "", "", "print the version"},
    {"explain", "start", 1, 1, cmd_explain, 0, HERE, "CODE", "", "say what an IF_ERR code means and what to do"},
    {"help", "start", 0, 2, cmd_help, 0, HERE, "[COMMAND]", "", "show help"},
    {"completion", "start", 1, 1, cmd_completion, 0, HERE, "bash|zsh|fish", "", "print a completion script for a shell"},
    {"context add", "start", 1, 1, cmd_context_add, CMD_CHANGES, HERE, "NAME", "", "remember where a fabric is"},
    {"context use", "start", 1, 1, cmd_context_use, CMD_CHANGES, HERE, "NAME", "", "make a context the current one"},
    {"context list", "start", 0, 0, cmd_context_list, 0, HERE, "", "", "list contexts"},
    {"json check", "start", 0, 1, cmd_json_check, 0, HERE, "[FILE|-]", "", "check a document against the strict rules"},
    {"json canon", "start", 0, 1, cmd_json_canon, 0, HERE, "[FILE|-]", "", "print the canonical form (RFC 8785)"},
    /* agents */
    {"key new", "agents", 0, 0, cmd_key_new, CMD_CHANGES, HERE, "", "out", "make a private key"},
    {"key show", "agents", 1, 1, cmd_key_show, 0, HERE, "FILE", "pem", "print the public key of a key file"},
    {"talent add", "agents", 0, 1, cmd_talent_add, CHANGE, OPERATE, "[NAME]", "name role owner pubkey new-key order", "enrol an agent or a person"},
    {"talent invite", "agents", 0, 1, cmd_talent_invite, CHANGE, OPERATE, "[NAME]", "name role owner ttl",
     "make a one-time code with which an agent enrols itself"},
    {"talent list", "agents", 0, 0, cmd_talent_list, 0, LIST, "", "limit cursor", "list talents"},
    {"talent show", "agents", 0, 1, cmd_talent_show, 0, LIST, "[NAME]", "name", "show keys, role and grants of a talent"},
    {"talent grant", "agents", 0, 1, cmd_talent_grant, CHANGE, OPERATE, "[NAME]", "name scope capability expires act-out act-in",
     "grant a scope or capability"},
    {"talent revoke", "agents", 0, 1, cmd_talent_revoke, CHANGE, OPERATE, "[NAME]", "name key-id spki scope", "revoke a key, a grant, or every key"},
    {"talent rotate-key", "agents", 0, 1, cmd_talent_rotate_key, CHANGE, ALL, "[NAME]", "name pubkey overlap", "give a talent a new key"},
    {"talent add-cert", "agents", 0, 1, cmd_talent_add_cert, CHANGE, ALL, "[NAME]", "name spki expires overlap",
     "let a talent in by a client certificate"},
    {"talent remove", "agents", 0, 1, cmd_talent_remove, CHANGE, OPERATE, "[NAME]", "name", "remove a talent for good; its name stays taken"},
    {"enroll", "agents", 0, 1, cmd_enroll, CMD_CHANGES, OPEN, "[CODE|@FILE|-]", "out", "enrol this machine with a one-time code"},
    {"token create", "agents", 0, 1, cmd_token_create, CHANGE, OPERATE, "[NAME]", "name role ttl label out", "make a bearer token for a talent"},
    {"token list", "agents", 0, 0, cmd_token_list, 0, ALL, "", "limit cursor", "list tokens that have not ended"},
    {"token revoke", "agents", 1, 1, cmd_token_revoke, CHANGE, OPERATE, "ID", "", "revoke a token"},
    {"message new", "agents", 0, 0, cmd_message_new, 0, HERE, "",
     "to claim claim-id confidence scope data hazard evidence performative conversation topic ttl", "print a draft"},
    {"message sign", "agents", 0, 1, cmd_message_sign, 0, HERE, "[FILE|-]", "json file", "complete and sign a draft"},
    {"message canon", "agents", 0, 1, cmd_message_canon, 0, HERE, "[FILE|-]", "json file", "print the bytes a signature is over"},
    {"message send", "agents", 0, 0, cmd_message_send, CMD_CHANGES, OPEN, "",
     "to claim claim-id confidence scope data hazard evidence performative conversation topic ttl json file wait",
     "build, sign and send a message"},
    {"message inbox", "agents", 0, 0, cmd_message_inbox, 0, ALL, "", "after wait follow limit", "read what was delivered"},
    {"task create", "agents", 0, 1, cmd_task_create, CHANGE, ACT, "[ID]",
     "id type needs priority swarm budget deadline not-before depends-on max-attempts payload", "create a task"},
    {"task show", "agents", 0, 1, cmd_task_show, 0, ALL, "[ID]", "", "show a task"},
    {"task list", "agents", 0, 0, cmd_task_list, 0, ALL, "", "state swarm limit cursor all", "list tasks that are not closed"},
    {"task claim", "agents", 1, 1, cmd_task_claim, CMD_CHANGES, ACT, "ID", "swarm lease", "claim one task"},
    {"task next", "agents", 0, 0, cmd_task_next, CMD_CHANGES, ACT, "", "swarm skills lease wait", "claim the next fitting task"},
    {"task renew", "agents", 0, 1, cmd_task_renew, CMD_CHANGES, ACT, "[ID]", "fence lease", "renew a lease"},
    {"task progress", "agents", 0, 1, cmd_task_progress, CMD_CHANGES, ACT, "[ID]", "fence percent note", "report progress"},
    {"task complete", "agents", 0, 1, cmd_task_complete, CMD_CHANGES, ACT, "[ID]", "fence result note cost", "complete a task"},
    {"task fail", "agents", 0, 1, cmd_task_fail, CMD_CHANGES, ACT, "[ID]", "fence kind error cost", "report a failure"},
    {"task cancel", "agents", 1, 1, cmd_task_cancel, CHANGE, ACT, "ID", "", "cancel a task"},
    {"task block", "agents", 0, 1, cmd_task_block, CMD_CHANGES, ACT, "[ID]", "fence needs note", "ask for help"},
    {"task unblock", "agents", 0, 1, cmd_task_unblock, CMD_CHANGES, ACT, "[ID]", "fence note", "go on with a blocked task"},
    {"task replay", "agents", 1, 1, cmd_task_replay, CHANGE, ACT, "ID", "", "queue a dead task again"},
    {"task watch", "agents", 0, 1, cmd_task_watch, 0, AUDIT, "[ID]", "", "follow tasks, or one until it ends"},
    {"worker run", "agents", 1, 16, cmd_worker_run, CMD_CHANGES | CMD_REST, ACT, "-- COMMAND [ARG...]", "swarm skills lease once max wait",
     "run a command for each task"},
    LATER("bus sub", "agents", ACT, "SUBJECT", "", "subscribe"),
    LATER("bus pub", "agents", ACT, "SUBJECT", "json", "publish"),
    LATER("bus consumers", "operate", OPERATE, "", "", "list consumers"),
    LATER("bus dlq", "operate", OPERATE, "list|replay|drop [ID]", "", "the dead-letter queue"),
    {"mcp", "agents", 0, 0, cmd_mcp, CMD_CHANGES, ALL, "", "", "serve MCP on stdin and stdout"},
    /* operate */
    {"decision list", "operate", 0, 0, cmd_decision_list, 0, LIST, "", "state by-topic limit cursor", "list what waits for a person"},
    {"decision show", "operate", 1, 1, cmd_decision_show, 0, ALL, "ID", "", "show one decision with its message"},
    {"decision wait", "operate", 1, 1, cmd_decision_wait, 0, ALL, "ID", "wait", "wait until it is decided"},
    {"decision watch", "operate", 0, 0, cmd_decision_watch, CMD_CHANGES, LIST, "", "", "follow what waits; on a terminal, decide it"},
    {"decision approve", "operate", 1, 1, cmd_decision_approve, CHANGE, OPERATE, "ID", "yes", "sign an approval"},
    {"decision refuse", "operate", 1, 1, cmd_decision_refuse, CHANGE, OPERATE, "ID", "yes", "sign a refusal"},
    {"decision scope-ok", "operate", 1, 1, cmd_decision_scope_ok, CHANGE, OPERATE, "ID", "yes", "sign that the scope was checked"},
    {"guard check", "operate", 1, 1, cmd_guard_check, 0, HERE, "FILE", "", "check a rule set"},
    {"guard explain", "operate", 0, 1, cmd_guard_explain, 0, AUDIT, "",
     "to claim claim-id confidence scope data hazard evidence performative conversation topic ttl json file", "say how a message would be decided"},
    {"top", "operate", 0, 0, cmd_top, 0, LIST, "", "", "show tasks, swarms and open decisions, live on a terminal"},
    {"swarm register", "operate", 1, 1, cmd_swarm_register, CHANGE, OPERATE, "ID",
     "skills members concurrency weight cost-per-hour model queue-limit queue-policy", "register a swarm, or change it"},
    {"swarm list", "operate", 0, 0, cmd_swarm_list, 0, LIST, "", "limit cursor all", "list swarms"},
    {"swarm show", "operate", 1, 1, cmd_swarm_show, 0, LIST, "ID", "", "show a swarm"},
    {"budget set", "operate", 1, 1, cmd_budget_set, CHANGE | CMD_ADMIN, OPERATE, "ID", "subject usd tokens calls period", "set a budget, or change its limit"},
    {"budget list", "operate", 0, 0, cmd_budget_list, 0, ALL, "", "limit cursor", "list budgets"},
    {"budget report", "operate", 0, 0, cmd_budget_list, 0, ALL, "", "limit cursor", "show what is spent, held and left"},
    {"budget remove", "operate", 1, 1, cmd_budget_remove, CHANGE | CMD_ADMIN, OPERATE, "ID", "", "remove a budget"},
    {"budget reserve", "agents", 0, 0, cmd_budget_reserve, CMD_CHANGES, ACT, "",
     "usd tokens-in tokens-out calls model provider capability swarm talent operation priority ttl", "hold money for what is to be done"},
    {"budget settle", "agents", 1, 1, cmd_budget_settle, CMD_CHANGES, ACT, "ID", "usd tokens-in tokens-out calls model operation", "say what it did cost"},
    {"budget release", "agents", 1, 1, cmd_budget_release, CMD_CHANGES, ACT, "ID", "", "give back what was held"},
    {"budget reservations", "operate", 0, 0, cmd_budget_reservations, 0, ALL, "", "limit cursor", "list what is held"},
    {"cost track", "agents", 0, 0, cmd_cost_track, CMD_CHANGES, ACT, "", "usd tokens-in tokens-out calls model provider capability swarm talent operation",
     "report what was spent elsewhere"},
    {"cost rates", "operate", 0, 1, cmd_cost_rates, CHANGE | CMD_BARE, ALL, "[@FILE]", "", "show the price table, or set another"},
    {"cost budget", "operate", 0, 0, cmd_budget_list, 0, ALL, "", "limit cursor", "the same as budget report"},
    {"cost report", "operate", 0, 0, cmd_cost_report, 0, OWN, "", "by from to", "what was spent, in groups that sum to the total"},
    {"cost estimate", "operate", 0, 0, cmd_cost_estimate, 0, ALL, "", "model tokens-in tokens-out calls operations", "what something would cost"},
    {"governor match", "operate", 0, 0, cmd_governor_match, 0, LIST, "", "needs swarm explain", "who could help, and why"},
    LATER("governor waste", "operate", LIST, "", "", "cost of help that came to nothing"),
    {"governor breakers", "operate", 0, 0, cmd_governor_breakers, 0, LIST, "", "limit cursor", "list circuit breakers"},
    {"governor reset", "operate", 1, 1, cmd_governor_reset, CHANGE, OPERATE, "swarm:NAME|capability:NAME", "", "reset a breaker"},
    {"publisher add", "operate", 1, 1, cmd_publisher_add, CHANGE | CMD_ADMIN, OPERATE, "NAME", "pubkey namespace expires", "trust a publisher's key for its namespaces"},
    {"publisher list", "operate", 0, 0, cmd_publisher_list, 0, LIST, "", "limit cursor", "list publishers"},
    {"publisher revoke", "operate", 1, 1, cmd_publisher_revoke, CHANGE | CMD_ADMIN, OPERATE, "NAME", "", "stop trusting a publisher, for good"},
    {"capability new", "operate", 1, 1, cmd_capability_new, CMD_CHANGES, HERE, "ID[@VERSION]", "module out", "make a manifest to be edited"},
    {"capability sign", "operate", 1, 1, cmd_capability_sign, CMD_CHANGES, HERE, "FILE", "out", "sign a manifest with a publisher's key"},
    {"capability verify", "operate", 1, 1, cmd_capability_verify, 0, HERE, "FILE", "pubkey module", "verify a manifest's signature, and its module"},
    {"capability inspect", "operate", 1, 1, cmd_capability_inspect, 0, HERE, "FILE", "", "check a manifest and show what it asks for"},
    {"capability allow", "operate", 1, 1, cmd_capability_allow, CHANGE | CMD_ADMIN, OPERATE, "FILE", "", "put a signed manifest on the allow-list"},
    {"capability revoke", "operate", 0, 1, cmd_capability_revoke, CHANGE | CMD_ADMIN, OPERATE, "[ID[@VERSION]]", "digest pubkey", "revoke a capability, a version, a manifest or a key, for good"},
    {"capability list", "operate", 0, 0, cmd_capability_list, 0, ALL, "", "limit cursor", "list what is or was on the allow-list"},
    {"capability show", "operate", 1, 1, cmd_capability_show, 0, ALL, "ID[@VERSION]", "", "show a capability with its manifest"},
    {"capability check", "operate", 1, 1, cmd_capability_check, CMD_CHANGES, OPERATE, "ID[@VERSION]", "", "try to load it: signature, publisher, allow-list, module"},
    {"capability plan", "operate", 1, 2, cmd_capability_plan, CHANGE | CMD_FREE, ACT, "ID[@VERSION] [OPERATION]", "operation param", "plan a call: what it would do, cost and need"},
    {"capability apply", "operate", 0, 2, cmd_capability_apply, CHANGE | CMD_FREE | CMD_BARE | CMD_MODES, ACT, "[ID[@VERSION] [OPERATION]]", "operation param plan wait", "plan a call, have it approved where that is needed, and do it"},
    {"capability plans", "operate", 0, 0, cmd_capability_plans, 0, ALL, "", "state limit cursor", "list plans that are not forgotten"},
    {"capability close", "operate", 1, 1, cmd_capability_close, CHANGE, OPERATE, "PLAN", "outcome", "say what became of a call that was cut off"},
    {"capability health", "operate", 1, 1, cmd_capability_health, CMD_CHANGES, OPERATE, "ID[@VERSION]", "", "ask a capability how it is"},
    {"capability logs", "operate", 1, 1, cmd_capability_logs, 0, LIST, "ID", "limit", "read the lines it wrote"},
    LATER_WHY("secret set", "operate", OPERATE, "NAME", "for", "store a secret, read from stdin"),
    LATER_WHY("secret rotate", "operate", OPERATE, "NAME", "", "replace a secret"),
    LATER_WHY("secret revoke", "operate", OPERATE, "NAME", "", "revoke a secret"),
    LATER("secret list", "operate", OPERATE, "", "", "list names of secrets"),
    LATER("secret age", "operate", OPERATE, "", "", "how old secrets are"),
    LATER("secret check", "operate", OPERATE, "", "", "check the vault"),
    LATER("falsify", "operate", HERE, "", "task plan", "try to disprove a task or plan before it is committed"),
    {"config check", "operate", 0, 1, cmd_config_check, 0, HERE, "[FILE]", "", "check a configuration file"},
    {"config show", "operate", 0, 1, cmd_config_show, 0, HERE, "[FILE]", "", "show every setting and where it comes from"},
    {"config schema", "operate", 0, 0, cmd_config_schema, 0, HERE, "", "", "list every setting with range, default and help"},
    {"clock accept", "operate", 0, 0, cmd_clock_accept, CHANGE | CMD_ADMIN, OPERATE, "", "", "believe a clock that jumped"},
    {"backup", "operate", 1, 1, cmd_backup, CHANGE, OPERATE, "DIR", "", "copy the fabric while it runs"},
    {"restore", "operate", 1, 1, cmd_restore, CHANGE, HERE, "BACKUP", "keys", "make a new fabric from a backup"},
    {"salvage", "operate", 1, 1, cmd_salvage, CHANGE, HERE, "DIR", "keys checkpoint unproven", "make a new fabric from what a damaged one still holds"},
    /* audit */
    {"witness query", "audit", 0, 0, cmd_witness_query, 0, OWN, "", "component type from to limit cursor all", "search the log"},
    {"witness show", "audit", 1, 1, cmd_witness_show, 0, OWN, "INDEX", "", "show one entry"},
    {"witness trace", "audit", 0, 1, cmd_witness_trace, 0, OWN, "[TOKEN]", "", "every entry of one trace"},
    {"witness verify", "audit", 1, 1, cmd_witness_verify, 0, HERE, "DIR", "vkey checkpoint min-size follow-rotation", "verify an export offline"},
    {"witness checkpoint", "audit", 0, 0, cmd_witness_checkpoint, 0, OPEN, "", "", "print the signed tree head"},
    {"witness vkey", "audit", 0, 0, cmd_witness_vkey, 0, OPEN, "", "", "print the key that verifies checkpoints"},
    {"witness prove", "audit", 1, 1, cmd_witness_prove, 0, OWN, "INDEX", "", "prove that an entry stands in the log"},
    {"witness export", "audit", 0, 0, cmd_witness_export, 0, AUDIT, "", "out", "copy the log into a directory that verifies offline"},
    {"witness tail", "audit", 0, 0, cmd_witness_tail, 0, AUDIT, "", "from", "follow the log"},
    {"witness rotate-key", "audit", 0, 0, cmd_witness_rotate_key, CHANGE | CMD_ADMIN, OPERATE, "", "", "give the log a new key, signed by the old one"},
    {"witness erase", "audit", 1, 1, cmd_witness_erase, CHANGE | CMD_ADMIN, OPERATE, "ID", "sender", "erase the stored bytes of a message"},
    {"anchor create", "audit", 0, 0, cmd_anchor_create, CHANGE, OPERATE, "", "", "keep a checkpoint elsewhere now"},
    {"anchor list", "audit", 0, 0, cmd_anchor_list, 0, AUDIT, "", "", "list anchors"},
    {"anchor verify", "audit", 0, 0, cmd_anchor_verify, 0, AUDIT, "", "", "check every anchor against the log"},
    {"receipt save", "audit", 1, 1, cmd_receipt_save, 0, OWN, "ID", "sender out receipt", "save a message, its decision and their proof"},
};
const size_t cli_command_count = IFAB_COUNT(cli_commands);

#define GLOBAL_ROW(name, letter, value, help) {name, letter, value, help},
const struct cli_option cli_globals[] = {IFAB_GLOBAL_FLAG_MAP(GLOBAL_ROW)};
const size_t cli_global_count = IFAB_COUNT(cli_globals);

const struct cli_option cli_options[] = {
    {"act-in", 0, "FILE", "the first admin's act, from --act-out: one's own is added and both are sent"},
    {"act-out", 0, "FILE", "sign, and write the act for a second admin; nothing is sent"},
    {"after", 0, "CURSOR", "begin behind this cursor"},
    {"all", 0, NULL, "every page"},
    {"budget", 0, "usd=0.50,tokens=1000,calls=3", "what a task may cost"},
    {"by", 0, "NAME", "provider, capability, talent, swarm, operation, model, actor, subject, trace, component, day or month"},
    {"by-topic", 0, NULL, "a row for each topic"},
    {"calls", 0, "N", "number of calls"},
    {"capability", 0, "SCOPE", "talent grant: the same as --scope; cost: the capability it was for"},
    {"checkpoint", 0, "FILE", "a checkpoint kept elsewhere"},
    {"claim", 0, "TEXT", "what is claimed"},
    {"claim-id", 0, "ID", "id of the claim"},
    {"component", 0, "NAME", "component of the entry, e.g. IF.guard"},
    {"concurrency", 0, "N", "most tasks at a time, 1 to 1000"},
    {"confidence", 0, "NUMBER", "0 to 1"},
    {"conversation", 0, "ID", "conv-… to go on with"},
    {"cost", 0, "JSON|@FILE", "what it cost, e.g. {\"usd_micro\":1500}"},
    {"cost-per-hour", 0, "AMOUNT", "what it costs in US dollars"},
    {"cursor", 0, "CURSOR", "go on from here: next of the page before"},
    {"data", 0, "JSON", "the application's own object"},
    {"deadline", 0, "TIME", "when it must be done: YYYY-MM-DDThh:mm:ssZ, or how long from now: +1h"},
    {"depends-on", 0, "a,b", "tasks that must be done before"},
    {"digest", 0, "DIGEST", "sha256:… of a manifest, as capability inspect shows it"},
    {"error", 0, "TEXT", "what went wrong"},
    {"evidence", 0, "URL[,HASH]", "a source; may be repeated"},
    {"expires", 0, "TIME", "YYYY-MM-DDThh:mm:ssZ, or how long: 24h"},
    {"explain", 0, NULL, "say why for each"},
    {"fence", 0, "N", "fence of the claim (IFAB_FENCE)"},
    {"file", 'f', "FILE", "a draft or a complete message"},
    {"follow", 0, NULL, "go on as more comes"},
    {"follow-rotation", 0, NULL, "the key may be an earlier one of the log; every change since must be proven"},
    {"for", 0, "ORIGIN", "origin the secret is for"},
    {"from", 0, "TIME|INDEX", "query: not before this time, date or so long ago; tail: the first index"},
    {"hazard", 0, "NAME", "declared hazard; may be repeated"},
    {"http", 0, "ADDR:PORT", "TCP address; \"\" for none"},
    {"id", 0, "ID", "id of your own"},
    {"json", 0, "@FILE", "a draft or a complete message"},
    {"key-id", 0, "K", "k-… of one key"},
    {"keys", 0, "DIR", "where log.key and operator.pem are"},
    {"kind", 0, "transient|poison|shutdown", "kind of failure"},
    {"label", 0, "NAME", "what a token is called in lists"},
    {"lease", 0, "TIME", "length of the lease, 100ms to 1h (default 30s)"},
    {"limit", 0, "N", "most rows (default 50, at most 1000)"},
    {"max", 0, "N", "end after so many tasks"},
    {"max-attempts", 0, "N", "how often it is tried before it is dead (default 3)"},
    {"members", 0, "a,b", "talents that may act for it"},
    {"min-size", 0, "N", "fewest entries it must have"},
    {"model", 0, "NAME", "model: of a swarm; as the price table names it"},
    {"module", 0, "FILE", "the WASM module: its digest and size are put in, or compared"},
    {"name", 0, "NAME", "name"},
    {"namespace", 0, "a,b", "what a publisher may sign: capability names, or their beginnings up to a dot; * is all"},
    {"needs", 0, "a,b", "skills it needs"},
    {"new-key", 0, NULL, "make DIR/keys/NAME.pem and enrol its public key"},
    {"not-before", 0, "TIME", "when it may begin: a time, or how long from now"},
    {"note", 0, "TEXT", "a note"},
    {"once", 0, NULL, "end after one task; exit status 14 when it was not completed"},
    {"operation", 0, "NAME", "operation of the capability; cost: what was done"},
    {"operations", 0, "N", "so many times (default 1)"},
    {"order", 0, "strict|window", "how sequence numbers must come"},
    {"out", 0, "PATH", "where to write; must not exist"},
    {"outcome", 0, "done|not-done", "what became of it"},
    {"overlap", 0, "TIME", "how long old keys stay valid (default 0)"},
    {"owner", 0, "NAME", "who answers for it (default its own name)"},
    {"param", 'p', "NAME=VALUE", "a parameter; also as --NAME VALUE"},
    {"payload", 0, "JSON|@FILE", "what the worker gets, at most 64 KiB"},
    {"pem", 0, NULL, "only the public key, as PEM: for --pubkey @FILE"},
    {"percent", 0, "N", "0 to 100"},
    {"performative", 0, "NAME", "default inform"},
    {"period", 0, "hour|day|week|month|total", "period of the budget"},
    {"plan", 0, "HASH", "a plan that was made before: sha256:… or plan-…"},
    {"priority", 0, "P0|P1|P2|P3", "priority"},
    {"provider", 0, "NAME", "provider it was paid to"},
    {"pubkey", 0, "KEY|@FILE", "base64url, SPKI PEM or an ssh-ed25519 line"},
    {"result", 0, "JSON|@FILE", "what came of it, at most 64 KiB"},
    {"queue-limit", 0, "N", "most tasks that wait for it"},
    {"queue-policy", 0, "reject|shed-lowest", "what a full queue does"},
    {"receipt", 0, NULL, "the receipt alone, without the message and its sender's enrolment"},
    {"role", 0, "NAME", "role (default agent)"},
    {"scope", 0, "SCOPE", "talent: a scope such as veritas:secrets; message: a JSON object"},
    {"sender", 0, "URI", "sender of the message: if://agent/NAME[/INSTANCE]"},
    {"skills", 0, "a,b", "what it can do (default: all of its swarm)"},
    {"spki", 0, "@FILE|DIGEST", "certificate in PEM, or sha256:… of its SubjectPublicKeyInfo"},
    {"state", 0, "STATE", "only those in this state"},
    {"subject", 0, "KIND:NAME", "talent:NAME, provider:NAME, capability:NAME, swarm:NAME or trace:UUID"},
    {"swarm", 0, "ID", "swarm"},
    {"talent", 0, "NAME", "talent it is counted for"},
    {"task", 0, "TEXT", "a task"},
    {"to", 0, "NAME|URI|TIME", "message: receiver, may be repeated; query: not after this time"},
    {"tokens", 0, "N", "tokens, in and out"},
    {"tokens-in", 0, "N", "tokens sent to a model"},
    {"tokens-out", 0, "N", "tokens that came from it"},
    {"topic", 0, "HASH", "sha256:… of the topic"},
    {"ttl", 0, "TIME", "message: how long it is fresh (default 60s); token, invite: how long it is good (default 1h); reservation: how long it holds (default 5min)"},
    {"type", 0, "NAME", "type, e.g. message"},
    {"unproven", 0, NULL, "also entries that nothing signed covers"},
    {"usd", 0, "AMOUNT", "US dollars"},
    {"vkey", 0, "KEY|@FILE", "key of the log that you trust"},
    {"wait", 0, "TIME", "wait so long for more, or for the decision"},
    {"weight", 0, "N", "its share of what several could do, 1 to 16"},
    {"yes", 0, NULL, "do not ask before signing; needed without a terminal"},
};
const size_t cli_option_count = IFAB_COUNT(cli_options);

const struct cli_option *cli_option_find(const struct cli_option *table, size_t count, struct ifab_view name)
{
    for (size_t i = 0; i < count; i++)
        if (ifab_view_is(name, table[i].name) || (name.size == 1 && table[i].letter == (char)name.data[0]))
            return &table[i];
    return NULL;
}

bool cli_word_next(const char **list, struct ifab_view *ret_word)
{
    while (**list == ' ')
        (*list)++;
    size_t size = strcspn(*list, " ");
    *ret_word = ifab_view_of(*list, size);
    *list += size;
    return size > 0;
}

bool cli_command_takes(const struct cli_command *command, struct ifab_view option)
{
    const char *list = command->options;
    for (struct ifab_view word; cli_word_next(&list, &word);)
        if (ifab_view_equal(word, option))
            return true;
    return false;
}
