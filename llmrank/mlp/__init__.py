"""MLP-Rank on small networks: the whole method at a size one can see."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    criteria="AUTHORS MLP_CRITERIA MLPRank criterion score",
    datasets="TITLES DataSpec check_open examples",
    experiment="Point RetentionSpec gains leads retention summary",
    example_sets="Examples Shape",
    files="as_bytes load_network network_of save_network",
    hub_datasets="HUB_SETS",
    network="Network accuracy cut logits predictions",
    pruning="Sweep planned prune sweep",
    retraining="Recovery recover",
    robustness="RobustnessResult brittleness corrupt robustness_results",
    digits_network="shipped",
    digits_results="shipped_result",
    training="Epoch MLPSpec Trained train",
)
