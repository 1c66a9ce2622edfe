"""A tokenizer trained on a shop's own texts, for encoders that start from nothing."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_ACCENT = Regex("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic; Japanese voicing marks lie elsewhere and stay
_CJK_CHARACTER = Regex(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]")


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding (Sennrich et al., 2016) of lower-cased words without accents; [CLS] text [SEP] (text [SEP]).

    Letters and digits are cut apart, so that "128gb" shares tokens with "128 GB". Each Chinese or Japanese character is
    a word. The same texts, in any order, give the same tokenizer.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [normalizers.NFKD(), normalizers.Replace(_ACCENT, ""), normalizers.NFKC(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(_CJK_CHARACTER, behavior="isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=list(SPECIAL.values()), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    cls_id, sep_id = (tokenizer.token_to_id(SPECIAL[n]) for n in ("cls_token", "sep_token"))
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls_id), ("[SEP]", sep_id)],
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=names, **SPECIAL)
