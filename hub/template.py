"""The settings file that `seawall-hub init` writes."""

HUB_TOML = """\
# Settings of this hub. What is commented out is the default. Every key can be set in the environment instead:
# SEAWALL_HUB_LISTENERS__MTLS=0.0.0.0:7444

# In every certificate, so it can never change.
trust_domain = "{trust_domain}"

# Empty: SQLite in this folder. For several hubs: "postgresql://user:password@db.example.org/seawall?sslmode=verify-full"
#database_url = ""

# Where what is distributed is kept: s3://BUCKET/PREFIX, gs://… or az://…, with the access in the store's own variables, such as
# AWS_ACCESS_KEY_ID. Empty: in this folder.
#blobs_url = ""

# Where this hub runs, and who runs it: agents' policies may ask. Empty: not known, and what asks for it is denied.
#region = "de-fra"
#operator = "acme"

# Cedar policies by which this hub decides again, after the agent, where a prompt may go. Default: the same as the agents'.
#policy_file = "hub.cedar"

[listeners]
# Agents enrol here; only the server shows a certificate.
#enrollment = "127.0.0.1:7443"
# Everything else; both sides show a certificate.
#mtls = "127.0.0.1:7444"
# Prometheus, without TLS: leave it on loopback. "": off.
#metrics = "127.0.0.1:7445"

[limits]
#agent_certificate_days = 30
#last_seen_seconds = 60.0        # agents' last calls are written so often
#heartbeat_seconds = 30.0        # agents say so often that they are there
#sessions = 20000                # agents connected at once
#events_days = 30                # what happened is kept so long, and commands after their end
#audit_days = 365                # the audit log's entries are kept so long, their hashes for ever
#recovery_days = 90              # an expired certificate can be exchanged for so long
#escalations = 256               # answers streamed at once
#escalations_per_agent = 8
#prompt_characters = 1000000     # of all messages of one prompt
#messages = 1000                 # of one prompt
#output_tokens = 4096            # of one answer
#breaker_failures = 5            # in a row, then a provider is left alone
#breaker_seconds = 30.0          # for so long
#keepalive_seconds = 25.0        # between pings on an idle connection
#stop_seconds = 2.0              # for answers that stream when the hub is stopped

[telemetry]
#otlp_endpoint = ""              # a collector for traces by OTLP over gRPC: "http://127.0.0.1:4317", or https://; empty: nothing is traced
#otlp_ca_file = "collector.pem"  # that signs the collector's certificate, for https; default: the usual authorities
#sample_ratio = 1.0              # of the traces that begin here; those that an agent began bring their own decision

[learning]
# Where Flower is while a round is played, such as "0.0.0.0:7446". Empty: no rounds. Needs: pip install 'seawall[hub,learning]'
#listen = ""
#enabled = false                 # rounds begin by themselves, where listen is set; else by seawall-hub learning start
#roster = "fleet"                # the name of the signed roster
#smallest_cohort = 8             # agents asked together, where the fleet is small
#cohort = 20                     # agents asked together, where there are enough
#stage_seconds = 60.0            # who answers later is left out
#heard_seconds = 300.0           # who was not heard of for so long is not asked
#look_seconds = 600.0            # between two looks whether a round is due
#exact = false                   # sums without noise, which few agents allow
#group_by = ["model"]            # sums by these: model, labels.KEY

# Where escalated prompts go: the first one that a prompt's policy allows and that works, in this order.
#[[providers]]
#name = "house"                      # in receipts and metrics
#kind = "openai"                     # any server that speaks OpenAI's API
#base_url = "http://127.0.0.1:8000/v1"
#model = "llama-3.1-8b-instruct"
#tier = "private"                    # you run it
#region = "de-fra"
#operator = "acme"                   # who runs it; for policies
#retention_days = 0                  # for so long it keeps what it is sent; for policies
#output_limit_name = "max_tokens"    # or "max_completion_tokens", for OpenAI's newer models
#send_temperature = true             # false for models that refuse one

#[[providers]]
#name = "claude"
#kind = "anthropic"
#model = "claude-sonnet-4-5"
#tier = "public"                     # somebody else runs it
#region = "us"
#api_key_env = "ANTHROPIC_API_KEY"   # the variable's name; never the key
#connect_seconds = 5.0
#first_token_seconds = 20.0          # then the next provider is tried
#timeout_seconds = 120.0
#input_price_per_million_tokens = 3.0   # for the audit log; unset: the cost is not known
#output_price_per_million_tokens = 15.0
#currency = "USD"
"""
