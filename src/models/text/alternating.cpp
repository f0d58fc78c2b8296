// Decoder: layers that compute one of several residual streams (Gemma 3n).
#include <cmath>

#include "models/text/decoder.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {

namespace mx = mlx::core;

// A step through all layers, from the embeddings on.
mx::array Decoder::forward_streams(const mx::array& embedded, const nn::StepBatch& batch,
                                   nn::KvCache& kv) {
  LayerInputs::Step inputs = inputs_->of_step(batch, embedded);
  mx::array streams = stream_ends_->spread(embedded);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    AltUpLayer& own = *layer.streams;
    mx::array predicted = own.predict(streams);
    const mx::array normed = nn::norm(backend_, layer.norm, own.active(predicted));
    mx::array mixed = layer.mixer->mix(normed, batch, kv);
    mx::array beside = own.laurel(normed);
    if (i + 1 == layers_.size()) {  // only rows that need logits go on
      if (batch.logit_tokens.empty()) return mixed;
      for (mx::array* rows : {&mixed, &beside, &predicted, &inputs.projected, &inputs.embedded})
        *rows = nn::gather(backend_, *rows, batch.logit_tokens);
    }
    const mx::array attended = behind(layer.post_mixer_norm, layer.mixer->project(mixed));
    mx::array x = nn::add(backend_, own.active(predicted), attended);
    x = nn::scale(backend_, nn::add(backend_, x, beside), std::sqrt(0.5f));
    const mx::array fed = layer.feed_forward->run(nn::norm(backend_, layer.feed_forward_norm, x));
    x = nn::add(backend_, x, behind(layer.post_feed_forward_norm, fed));
    streams = own.correct(predicted, x);
    const mx::array given = inputs_->of_layer(inputs, static_cast<int>(i));
    streams = own.add_to_others(streams, layer.input->run(own.scaled(streams), given));
  }
  return stream_ends_->join(streams);
}

}  // namespace pippin::models
