// Names of the tensors of experts, as folders of Hugging Face and MLX models have them. Internal to
// store. Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace pippin::store {

/// Returns GGUF's name of an expert's module of a layer, or of all experts' module: "ffn_gate.12"
/// of "mlp.experts.12.gate_proj", "ffn_up_exps" of "mlp.switch_mlp.up_proj"; empty: it is neither.
std::string expert_module(std::string_view part);

/// Returns the name with the module and the kind that other files give what a model keeps as a bare
/// parameter: "mlp.experts.down_proj.weight" of "mlp.experts.down_proj".
std::string with_kind(std::string_view name);

}  // namespace pippin::store
