"""A HookedTransformer of TransformerLens with the weights of a model of transformers, without the hub, nothing processed."""

from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights, convert_llama_weights
from transformers import AutoTokenizer


def hooked(hf, tokenizer_folder, cls=HookedTransformer, **processing):
    config = hf.config
    shape = {
        "n_layers": config.num_hidden_layers,
        "d_model": config.hidden_size,
        "n_ctx": config.max_position_embeddings,
        "n_heads": config.num_attention_heads,
        "d_vocab": config.vocab_size,
        "device": "cpu",
        "default_prepend_bos": False,
    }
    if config.model_type == "gpt2":
        shape |= {"d_head": config.hidden_size // config.num_attention_heads, "d_mlp": config.n_inner, "act_fn": "gelu_new"}
        shape |= {"normalization_type": "LN", "eps": config.layer_norm_epsilon, "original_architecture": "GPT2LMHeadModel"}
    else:
        grouped = config.num_key_value_heads if config.num_key_value_heads != config.num_attention_heads else None
        shape |= {"d_head": config.head_dim, "d_mlp": config.intermediate_size, "act_fn": "silu"}
        shape |= {"gated_mlp": True, "final_rms": True}
        shape |= {"normalization_type": "RMS", "eps": config.rms_norm_eps, "original_architecture": "LlamaForCausalLM"}
        shape |= {"positional_embedding_type": "rotary", "rotary_dim": config.head_dim, "rotary_adjacent_pairs": False}
        shape |= {"rotary_base": config.rope_parameters["rope_theta"], "n_key_value_heads": grouped}
    cfg = HookedTransformerConfig(**shape)
    model = cls(cfg, tokenizer=AutoTokenizer.from_pretrained(tokenizer_folder))
    convert = convert_gpt2_weights if config.model_type == "gpt2" else convert_llama_weights
    nothing = dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False)
    model.load_and_process_state_dict(convert(hf, cfg), **(nothing | processing))
    return model
