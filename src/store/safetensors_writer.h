// plan_mlx_folder: a folder of safetensors that MLX quantises, laid out: config.json, shards with
// an index, and where each tensor's bytes go. Plain functions; thread: any. Source: mlx-lm's
// convert and save_model(); its recipes of mixed bits.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/conversion.h"

namespace pippin::store {

/// A weight format of MLX's folders.
struct MlxFormat {
  std::string_view name;   // "4bit", "mxfp4", "mixed_3_6"
  TensorType type;         // of most weights
  TensorType high = type;  // of a mix: of the weights that take more bits
  bool is_mix() const { return high != type; }
};

std::span<const MlxFormat> mlx_formats();

/// Plans the folder from one of floats, or that MLX quantised. Linear layers and embeddings of the
/// text model become codes; norms, routers, convolutions, other modules and rows that are not whole
/// groups stay. Experts that lie apart are put together as MLX keeps them. Scales have the type of
/// the source's floats. `group`: 32, 64 or 128; 32 of mxfp4. `shard_bytes`: of a file at most,
/// unless one tensor is larger.
/// Errors: of opening the folder; kUnsupported, naming the field or the tensor, for other ways of
/// quantisation, experts kept as transformers' single tensor, and families
/// whose weights are turned.
Result<Conversion> plan_mlx_folder(const std::string& folder, const MlxFormat& format, int group,
                                   uint64_t shard_bytes = uint64_t{5} << 30);

}  // namespace pippin::store
