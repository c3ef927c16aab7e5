# The five commands; the same as in the README, tox and CI.

# install the kernel and every first-party plugin, editable, with the development tools
install:
    pip install -r requirements-dev.txt

# run every test
test *args:
    pytest -n auto {{args}}

# style and import contracts
lint:
    ruff check .
    ruff format --check .
    lint-imports

# static types
type:
    python -m mypy

# start the server
serve *args:
    runtime serve {{args}}
