#!/usr/bin/env bash
# What the hub's user may do on a Kafka with rights, and nothing else: `insight-hub check --connect` says what is missing of it.
#
#   BOOTSTRAP=kafka-1.example.com:9093 ADMIN=admin.properties deploy/examples/kafka/acls.sh
#
# ADMIN: how whoever gives rights logs in (security.protocol, sasl.…), as kafka-acls.sh takes it. To take rights away: ACTION=--remove.
set -euo pipefail

user=${HUB_USER:-User:insight-hub}

acl() {
    kafka-acls.sh --bootstrap-server "${BOOTSTRAP:?where is Kafka}" --command-config "${ADMIN:?how to log in there}" \
        "${ACTION:---add}" --allow-principal "$user" "$@"
}

# Its state: internal topics begin with hub.application_id. Delete removes what was processed.
acl --topic insight-hub- --resource-pattern-type prefixed --operation Read --operation Write --operation Describe --operation DescribeConfigs --operation Delete
# Its feeds, with topics.prefix.
acl --topic insight. --resource-pattern-type prefixed --operation Read --operation Write --operation Describe --operation DescribeConfigs
# Departments' topics, one --topic each. Who sends over HTTP: --operation Write as well. `rebuild --from-sources`: DescribeConfigs.
acl --topic marketing.events --topic operations.events --topic sales.events --topic support.events --operation Read --operation Describe
# Exactly once.
acl --transactional-id insight-hub --resource-pattern-type prefixed --operation Write --operation Describe
# Its progress.
acl --group insight-hub --operation Read --operation Describe
