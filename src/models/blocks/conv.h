// Convolutions of recurrent layers, as files keep them. Thread: the device thread.
#pragma once

#include <string_view>

#include "models/blocks/block.h"
#include "nn/backend/recurrent_spec.h"

namespace pippin::models {

/// Reads a layer's convolution: "<part>.weight" of [channels, taps], with or without dimensions of
/// one, and "<part>.bias" where the file has one.
Result<nn::ConvSpec> load_conv(const LayerSource& source, std::string_view part, int channels);

}  // namespace pippin::models
