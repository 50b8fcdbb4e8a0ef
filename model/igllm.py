"""IG-LLM: a vision tower, a linear projector, a causal language model and a numeric head, joined in one `forward`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from model.batch import IGNORED, Batch
from model.config import IGLLMConfig, dialect_of
from model.constants import constant
from model.output import IGLLMOutput, Reading, Seen
from model.parts.adapters import keep_precision, lora_config
from model.parts.cell_head import ATTENTION_WEIGHT, CellHead, Cells, LaplaceMixture, word_log_probabilities
from model.parts.dense_head import ContextReader, DenseHead, DenseLayout, Grid, LinearReader
from model.parts.guide import attention_loss, guide_loss, guided_attention, use_guided_attention
from model.parts.numeric_head import NumberFeedback, NumericHead, squared_errors
from model.parts.pretrained import Base, fetch_weights
from model.parts.tower import VisionTower
from model.staging import WHOLE, staged_if_folder
from model.state_dict import plain_names, tied_names, without_twins
from model.tokens.pieces import numeric_slots


class IGLLM(PreTrainedModel):
    """Writes the graphics code of an image (Kulits et al., TMLR 2024). Its parts are Hugging Face models.

    The sequence is a prefix (what the chat template puts before the image), visual tokens, and text (prompt and code). The numeric head
    reads a `[NUM]` token's value off the hidden state that predicts it; with ``config.number_feedback``, values are embedded back into
    the sequence.
    """

    config_class: ClassVar[type] = IGLLMConfig
    base_model_prefix = "igllm"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _keep_in_fp32_modules: ClassVar[list[str]] = ["numeric_head", "number_feedback"]  # bfloat16 is too coarse for millimetres
    # Each loss is divided by its own count, which comes with the batch (see `model.training.trainer`).
    accepts_loss_kwargs = False
    all_tied_weights_keys: dict[str, str]
    _mode: bool | None = None  # that `train` has set; its parts may have come in another

    def __init__(self, config: IGLLMConfig, encoder: nn.Module | None = None, language_model: nn.Module | None = None) -> None:
        """A model of this configuration; parts that are not given have random weights."""
        super().__init__(config)
        self.tower = VisionTower(config, encoder)
        self.language_model: Any = language_model or AutoModelForCausalLM.from_config(config.text_config)
        width = config.text_config.hidden_size
        written = dialect_of(config)
        self.slots = numeric_slots(written)
        headed = config.numbers == "head"
        self.projector = nn.Linear(self.tower.width, width)
        feedback = headed and config.number_feedback
        self.number_feedback = NumberFeedback(width, [slot.statement for slot in self.slots]) if feedback else None
        layout = DenseLayout.of(written, self.slots, config.dense_split, config.dense_reader == "context") if config.dense_weight else None
        self.dense_head = self._new_dense_head(layout) if layout else None
        self.numeric_head = self._new_head(width) if headed else None
        self.post_init()
        if config.guide_weight:
            use_guided_attention(self.language_model)
        if language_model is not None:  # a checkpoint may have two embeddings although its configuration ties them
            config.text_config.tie_word_embeddings = self._one_embedding()
        # transformers also ties weights by this attribute when it loads them.
        self.all_tied_weights_keys = tied_names(self, self.all_tied_weights_keys)
        if config.lora:
            tokens = [config.num_token_id] if headed else []
            with _renamed_for_peft():
                self.language_model = get_peft_model(self.language_model, lora_config(self.language_model, config.lora, tokens))
            keep_precision(self.language_model)
            self.all_tied_weights_keys = tied_names(self)
        elif config.language_base:
            self.language_model.requires_grad_(False)

    def _new_dense_head(self, layout: DenseLayout) -> DenseHead:
        if self.config.dense_reader == "linear":
            return LinearReader(self.config.text_config.hidden_size, layout)
        tower, config = self.tower, self.config
        if config.vision_merge != config.dense_split:
            raise ValueError(f"dense_reader=context needs dense_split={config.vision_merge}, which vision_merge is")
        cells = Grid(tower.rows, tower.columns, layout.split, config.image_height, config.image_width)
        return ContextReader(tower.layout.channels, layout, cells)

    def _new_head(self, width: int) -> NumericHead:
        if not self.config.number_cells or self.dense_head is None:
            return NumericHead(width)
        return CellHead(width, len(self.slots), self.config.dense_split)

    @classmethod
    def on_bases(cls, config: IGLLMConfig, vision_dtype: torch.dtype, language_dtype: torch.dtype, **fetching: Any) -> IGLLM:
        """A new model with the weights of the checkpoints that the configuration names, in these dtypes; its own parts are float32."""
        vision, language = (stated and Base.of(stated) for stated in (config.vision_base, config.language_base))
        encoder = vision.load_tower(config.vision_config, vision_dtype, **fetching) if vision else None
        language_model = language.load_language_model(config.text_config, language_dtype, **fetching) if language else None
        return cls(config, encoder, language_model)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *arguments: Any, config: Any = None, **keywords: Any) -> Any:
        """As for any transformers model, but frozen parts are loaded from the checkpoints that the configuration names.

        Of a folder, only the configuration and the weights are read (`model.staging`).
        """
        with staged_if_folder(pretrained_model_name_or_path) as where:
            config = config or IGLLMConfig.from_pretrained(where, **_fetching(keywords))
            config.name_or_path = str(pretrained_model_name_or_path)
            if not (config.vision_base or config.language_base or config.lora):
                return super().from_pretrained(where, *arguments, config=config, **keywords)
            asked = keywords.get("dtype")
            dtype = asked if isinstance(asked, torch.dtype) else torch.float32
            model = cls.on_bases(config, dtype, dtype, **_fetching(keywords, of_base=True))
            missing = model.load_weights(load_file(fetch_weights(where, **_fetching(keywords))))
        return (model.eval(), {"missing_keys": missing}) if keywords.get("output_loading_info") else model.eval()

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> set[str]:
        """Load weights from a file of this model; the names of weights that it lacks. ValueError for weights that do not fit."""
        places = self._without_bases(self.state_dict())
        first: dict[str, str] = {}  # the first name in the file of each tensor
        for name, value in weights.items():
            if name not in places or places[name].shape != value.shape:
                raise ValueError(f"its weights hold {name} {tuple(value.shape)}, which this model has no place for")
            other = first.setdefault(self.all_tied_weights_keys.get(name, name), name)
            if not torch.equal(weights[other], value):
                raise ValueError(f"its weights hold {other} and {name} with different values, which are one tensor in this model")
        self.load_state_dict(dict(weights), strict=False)
        return set(self.own_state_dict()) - set(first)

    def own_state_dict(self, state: Mapping[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """The part of a state (by default the model's own) that its file holds: every tensor once, except those of checkpoints that the
        configuration names. Names are those of a model without wrappers."""
        own = self._without_bases(plain_names(self.state_dict() if state is None else state))
        return without_twins(own, self.all_tied_weights_keys)

    def _without_bases(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: value for name, value in state.items() if not self._is_in_base(name)}

    def _is_in_base(self, name: str) -> bool:
        """Whether a checkpoint that the configuration names holds the tensor of this name."""
        if name.startswith("tower."):
            return self.config.vision_base is not None
        adapted = "lora_" in name or "trainable_tokens_delta" in name
        return name.startswith("language_model.") and self.config.language_base is not None and not adapted

    def save_pretrained(self, save_directory: Any, *arguments: Any, state_dict: Any = None, **keywords: Any) -> None:
        """As for any transformers model, but without the frozen weights of checkpoints that the configuration names."""
        Path(save_directory, WHOLE).unlink(missing_ok=True)  # it holds digests of the replaced model's files
        super().save_pretrained(save_directory, *arguments, state_dict=self.own_state_dict(state_dict), **keywords)

    def save_adapter(self, folder: Path) -> None:
        """Save LoRA's adapters alone, in `peft`'s format. ValueError if there are none."""
        if not self.config.lora:
            raise ValueError("this model has no adapters: all of its language model was trained")
        self.language_model.save_pretrained(folder, save_embedding_layers=False)  # the embedding of [NUM] is among the adapters

    def get_output_embeddings(self) -> nn.Module:
        """The language model's output embeddings. FSDP2 keeps them together with the input embeddings where both are one tensor."""
        return self.language_model.get_output_embeddings()

    def merged(self) -> IGLLM:
        """This model, with LoRA's adapters merged into the weights that they adapt, for prediction."""
        if self.config.lora:
            self.language_model = self.language_model.merge_and_unload()
            self.all_tied_weights_keys = tied_names(self)
        return self

    def train(self, mode: bool = True) -> IGLLM:
        """As `nn.Module.train`, but a frozen tower stays in evaluation mode.

        Trainer calls it at every step, and a model may have thousands of modules: nothing is done if the last call set the same mode.
        """
        if mode != self._mode:
            super().train(mode)
            if self.config.freeze_vision:
                self.tower.eval()
            self._mode = mode
        return self

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each part of the loss, by name."""
        config = self.config
        parts = {"number_loss": config.number_weight, "dense_loss": config.dense_weight, "guide_loss": config.guide_weight}
        return {"token_loss": 1.0, **parts}

    def loss_counts(self, batch: Mapping[str, torch.Tensor | None]) -> torch.Tensor:
        """(4,) float32, the divisors of the parts of the loss: the numbers of labelled tokens, numbers, cells with an object, and tokens
        with a centre. ``batch`` holds fields of a `Batch`, on whose device they are counted; an absent one counts 0.
        """
        labels, slots, words, centres = (batch.get(name) for name in ("labels", "number_slots", "dense_words", "centres"))
        values = batch.get("number_values")
        known = True if values is None else ~values.isnan()
        found = [
            None if labels is None else labels != IGNORED,
            None if slots is None else (slots >= 0) & known,
            None if words is None else words[..., 0] == 1,
            None if centres is None else centres >= 0,
        ]
        zero = next(value for value in batch.values() if value is not None).new_zeros((), dtype=torch.float32)
        return torch.stack([zero if counted is None else counted.sum(dtype=torch.float32) for counted in found])

    def see(self, pixel_values: torch.Tensor) -> Seen:
        """What is read of images (batch, 3, height, width), normalised pixels."""
        return self._seen(self.tower(pixel_values))

    def _seen(self, features: torch.Tensor) -> Seen:
        """What is read of the tower's features (batch, tokens, tower's width)."""
        return Seen(features, self.project(features))

    def project(self, visual_features: torch.Tensor) -> torch.Tensor:
        """The tower's features (batch, tokens, tower's width) to visual tokens (batch, tokens, width)."""
        # Made contiguous: torch multiplies a strided batch, as a slice of a frozen tower's tokens is, by one matrix for each image.
        return self.projector(visual_features.to(self.projector.weight.dtype).contiguous())

    def read_cells(self, seen: Seen) -> Cells | None:
        """The read-out of the cells of images; None unless the numeric head is a `CellHead`."""
        if not isinstance(self.numeric_head, CellHead) or self.dense_head is None:
            return None
        return self.numeric_head.read_cells(seen.visual, self.dense_head.read_out(self.dense_input(seen)))

    def dense_input(self, seen: Seen) -> torch.Tensor:
        """What the dense head reads."""
        if self.config.dense_reader == "linear":
            return seen.visual
        return seen.features[..., : self.tower.layout.channels * self.tower.merge**2]

    def mixture(self, states: torch.Tensor, slots: torch.Tensor, images: torch.Tensor, cells: Cells) -> LaplaceMixture:
        """As `CellHead.mixture`."""
        assert isinstance(self.numeric_head, CellHead)
        return self.numeric_head.mixture(states, slots, images, cells)

    def prepend_prefix(self, visual: torch.Tensor) -> torch.Tensor:
        """Visual tokens (batch, tokens, width) to the embeddings before the text (batch, prefix + tokens, width)."""
        prefix = constant(tuple(self.config.prefix_token_ids), visual.device, torch.long)
        embedded = self.language_model.get_input_embeddings()(prefix)
        return torch.cat([embedded.expand(len(visual), -1, -1), visual.to(embedded.dtype)], dim=1)

    def embed(self, input_ids: torch.Tensor, number_values: torch.Tensor | None, number_slots: torch.Tensor | None) -> torch.Tensor:
        """The text's embeddings (batch, length, width), with number feedback; the arguments are fields of a `Batch`."""
        embedded = self.language_model.get_input_embeddings()(input_ids)
        if self.number_feedback is None or number_values is None or number_slots is None:
            return embedded
        number_values = number_values.nan_to_num()
        if self.training and self.config.feedback_noise:
            number_values = number_values + self.config.feedback_noise * torch.randn_like(number_values)
        return embedded + self.number_feedback(number_values, number_slots).to(embedded.dtype)

    def run_decoder(self, embedded: torch.Tensor, **options: Any) -> Any:
        """The language model's decoder on embeddings (batch, length, width): ``last_hidden_state`` of the same shape, and the
        outputs that ``options`` request (cache, attention)."""
        return self.language_model.get_decoder()(inputs_embeds=embedded, **options)

    def token_logits(self, states: torch.Tensor, cells: Cells | None) -> torch.Tensor:
        """Hidden states (batch, length, width) to logits of the next token (batch, length, vocabulary); None for ``cells`` leaves out
        the read-out's contribution to words."""
        return self._with_word_attention(self.language_model.get_output_embeddings()(states), self._word_attention(states, cells), cells)

    def _word_attention(self, states: torch.Tensor, cells: Cells | None) -> torch.Tensor | None:
        """(batch, length, cells) the log attention of states on cells; None if the read-out does not contribute to words."""
        if cells is None or not self.config.word_token_ids or not isinstance(self.numeric_head, CellHead):
            return None
        return self.numeric_head.attention(states, cells)

    def _with_word_attention(self, logits: torch.Tensor, attention: torch.Tensor | None, cells: Cells | None) -> torch.Tensor:
        """Logits (batch, length, vocabulary), plus each word's log-probability in the attended cells."""
        if attention is None or cells is None:
            return logits
        words = constant(tuple(self.config.word_token_ids), logits.device)
        return logits.index_add(-1, words, word_log_probabilities(attention, cells).to(logits.dtype))

    def forward(
        self, pixel_values: torch.Tensor | None = None, input_ids: torch.Tensor | None = None, **tensors: torch.Tensor | None
    ) -> IGLLMOutput:
        """One pass with teacher forcing over a `Batch`, whose fields are the arguments.

        With ``labels``, the loss and its parts; without, logits; without ``input_ids``, the dense loss alone. Attention is causal and
        padding is on the right, so no mask is needed.
        """
        batch = Batch(pixel_values, input_ids, **tensors)
        seen = self._seen(self.tower(batch.pixel_values) if batch.visual_features is None else batch.visual_features)
        counts = self.loss_counts(vars(batch)) if batch.counts is None else batch.counts
        shares = dict(zip(self.loss_weights, (1 / counts.to(seen.visual.device).clamp(min=1)).unbind(), strict=True))
        losses = {"dense_loss": self._dense_loss(batch, seen, shares["dense_loss"])}
        if batch.input_ids is not None:
            reading = self._read(batch, seen)
            if batch.labels is None:
                return IGLLMOutput(logits=self.token_logits(reading.states, reading.cells))
            losses["token_loss"] = self._token_loss(batch, reading, shares["token_loss"])
            losses["number_loss"] = self._number_loss(batch, reading, shares["number_loss"])
            losses["guide_loss"] = self._guide_loss(batch, reading, shares["guide_loss"])
        weighted = [self.loss_weights[name] * loss for name, loss in losses.items() if loss is not None]
        return IGLLMOutput(loss=sum(weighted[1:], weighted[0]) if weighted else None, **losses)

    def _read(self, batch: Batch, seen: Seen) -> Reading:
        """The language model's output for what is seen of a batch's images, and its texts."""
        assert batch.input_ids is not None
        before = self.prepend_prefix(seen.visual)
        start, tokens = before.shape[1], seen.visual.shape[1]
        guided = batch.labels is not None and batch.centres is not None and self.config.guide_weight > 0
        embedded = torch.cat([before, self.embed(batch.input_ids, batch.number_values, batch.number_slots)], dim=1)
        output = self.run_decoder(embedded, output_attentions=guided, use_cache=False)
        states = output.last_hidden_state[:, start - 1 : -1]  # the state at t - 1 predicts token t
        cells = self.read_cells(seen)
        word_attention = None if batch.labels is None else self._word_attention(states, cells)
        return Reading(states, cells, word_attention, guided_attention(output.attentions, start, tokens) if guided else None)

    # Each part of the loss is a sum times ``share`` (a scalar), or None where the model or the batch lacks its inputs.

    def _dense_loss(self, batch: Batch, seen: Seen, share: torch.Tensor) -> torch.Tensor | None:
        """The loss of the dense read-out."""
        if self.dense_head is None or batch.dense_numbers is None or batch.dense_words is None:
            return None
        return self.dense_head.loss(self.dense_input(seen).float(), batch.dense_numbers, batch.dense_words, batch.image_numbers) * share

    def _token_loss(self, batch: Batch, reading: Reading, share: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of the labelled tokens."""
        assert batch.labels is not None
        labelled = (batch.labels != IGNORED).nonzero(as_tuple=True)
        if reading.word_attention is None:
            logits = self.token_logits(reading.states[labelled], None)  # a large vocabulary's logits are formed only where needed
        else:
            logits = self.token_logits(reading.states, None)
            logits = self._with_word_attention(logits, reading.word_attention, reading.cells)[labelled]
        return nn.functional.cross_entropy(logits.float(), batch.labels[labelled], reduction="sum") * share

    def _number_loss(self, batch: Batch, reading: Reading, share: torch.Tensor) -> torch.Tensor | None:
        """The squared errors of numbers; with a `CellHead`, their negative log-likelihood, plus the attention loss of numbers whose object
        has a known centre."""
        if self.numeric_head is None or batch.number_values is None or batch.number_slots is None:
            return None
        images, places = ((batch.number_slots >= 0) & ~batch.number_values.isnan()).nonzero(as_tuple=True)
        states, values, slots = (of[images, places] for of in (reading.states, batch.number_values, batch.number_slots))
        periods = self.periods()[slots]
        if reading.cells is None:
            return squared_errors(self.numeric_head(states), values, periods, self.config.number_close).sum() * share
        mixture = self.mixture(states, slots, images, reading.cells)
        if batch.centres is None:
            return mixture.nll(values, periods).sum() * share
        tokens = batch.centres[images, places]
        attention = attention_loss(mixture.log_weights[:, 1:], tokens.clamp(min=0), self.config.dense_split).masked_fill(tokens < 0, 0.0)
        return (mixture.nll(values, periods) + ATTENTION_WEIGHT * attention).sum() * share

    def _guide_loss(self, batch: Batch, reading: Reading, share: torch.Tensor) -> torch.Tensor | None:
        """The loss of the guided head's attention, and of word attention if it is used, on the described object's place."""
        if reading.image_attention is None or batch.labels is None or batch.centres is None:
            return None
        loss = guide_loss(reading.image_attention, batch.centres) * share
        if reading.word_attention is None:
            return loss
        words = constant(tuple(self.config.word_token_ids), batch.labels.device)
        at = (torch.isin(batch.labels, words) & (batch.centres >= 0)).nonzero(as_tuple=True)
        return loss + attention_loss(reading.word_attention[at], batch.centres[at], self.config.dense_split).sum() * share

    def periods(self) -> torch.Tensor:
        """(slots,) each slot's period in normalised units, 0 for none."""
        return constant(tuple(slot.period for slot in self.slots), self.device)

    def _one_embedding(self) -> bool:
        """Whether the language model's input and output embeddings are one tensor."""
        return self.language_model.get_input_embeddings().weight is self.language_model.get_output_embeddings().weight


@contextmanager
def _renamed_for_peft() -> Iterator[None]:
    """While peft wraps a model: the name by which it asks whether activations are checkpointed, at which transformers warns that it has
    renamed it, is the new one's."""
    before = PreTrainedModel.is_gradient_checkpointing
    PreTrainedModel.is_gradient_checkpointing = PreTrainedModel.is_activation_checkpointing
    try:
        yield
    finally:
        PreTrainedModel.is_gradient_checkpointing = before


def _fetching(keywords: Mapping[str, Any], of_base: bool = False) -> dict[str, Any]:
    """The arguments of `from_pretrained` about fetching files, without revision and subfolder if ``of_base``: a base has its own."""
    names = ("cache_dir", "force_download", "local_files_only", "token") + (() if of_base else ("revision", "subfolder"))
    return {name: keywords[name] for name in names if name in keywords}
