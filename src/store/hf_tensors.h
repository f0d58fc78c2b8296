// hf_tensors: the tensors of safetensors files as a model knows them: by GGUF's names, MLX's three
// to a quantised weight put together. Internal to store.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/hf_config.h"
#include "store/safetensors.h"
#include "store/tensor.h"

namespace pippin::store {

/// Returns the model's tensors; sets `config.model.tied_output`. Errors: kInvalidFile, naming the
/// tensor; kUnsupported for a dtype that no weight has.
Result<std::vector<TensorView>> hf_tensors(const std::vector<SafetensorsFile>& files,
                                           HfConfig& config, const std::string& path);

/// Returns GGUF's name of a tensor of transformers, e.g. "blk.3.attn_q.weight"; empty: none.
std::string gguf_tensor_name(std::string_view name, const HfFamily& family);

}  // namespace pippin::store
