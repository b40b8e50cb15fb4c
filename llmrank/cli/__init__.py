"""What each command of `python -m llmrank` does; what they need is imported late."""

from llmrank.cli.arena import GRID, add_arena_options, arena_command
from llmrank.cli.lists import methods_command, prepare_command
from llmrank.cli.mlp import add_mlp_options, mlp_command, mlp_settings
from llmrank.cli.run import evaluate_command, run_command, score_command
