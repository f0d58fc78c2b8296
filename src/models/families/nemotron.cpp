// Nemotron: layer norms whose weights are offsets from one, squared ReLU without a gate, half of
// each head rotated.
#include "models/families/family.h"

namespace pippin::models {
namespace {

constexpr store::HfFamily kHf[] = {{.model_type = "nemotron",
                                    .architecture = "nemotron",
                                    .activation = "relu2",
                                    .eps = 1e-5,
                                    .layer_norm = true,
                                    .eps_field = "norm_eps",
                                    .partial_rotary = 0.5}};

// Converters write the epsilon of both kinds of norms.
void complete(store::ModelConfig& config) { config.norm = store::NormKind::kLayer; }

}  // namespace

extern const Family kNemotron;
constexpr Family kNemotron = {"nemotron",
                              "Nemotron 3 and 4, Minitron",
                              {.norm_offset = 1.0f, .gate = nn::Gate::kReluSquared, .gated = false},
                              kHf,
                              complete};

}  // namespace pippin::models
