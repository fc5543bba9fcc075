"""Commands that only a checkout has."""

import pytest
from typer.testing import CliRunner

from ops.cli import app, checkout

pytestmark = pytest.mark.unit


def call(*words):
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


@pytest.mark.parametrize(("command", "module"), [("bench admit", "bench.admit"), ("chaos", "chaos.__main__")])
def test_an_installed_safelight_says_where_the_command_is(tmp_path, command, module):
    with pytest.raises(checkout.NoCheckout, match=rf"clone safelight's repository, and run `python -m ops {command}`"):
        checkout.run(command, module, [], root=tmp_path)


@pytest.mark.parametrize("command", ["bench admit", "chaos"])
def test_in_a_checkout_its_help_has_an_example(command):
    said = call(*command.split(), "--help")
    assert said.exit_code == 0
    assert f"Example: safelight {command} --" in said.output


def test_words_and_exit_code_go_through():
    said = call("chaos", "--kills", "many")
    assert said.exit_code == 2
    assert "safelight chaos: error: argument --kills" in said.output
