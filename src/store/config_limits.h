// Bounds of hyperparameters, whatever the file that they come from. Internal to store.
#pragma once

namespace pippin::store {

// Bounds that no known model comes near, and whose products stay far inside an int64_t (and H * D
// inside an int).
constexpr int kLayersMax = 1024;
constexpr int kWidthMax = 1 << 18;        // E
constexpr int kFeedForwardMax = 1 << 22;  // F
constexpr int kHeadsMax = 4096;           // H
constexpr int kHeadDimMax = 8192;         // D
constexpr int kVocabMax = 1 << 24;        // V
constexpr int kContextMax = 1 << 30;      // tokens
constexpr int kExpertsMax = 1 << 14;
constexpr int kConvTapsMax = 8;
constexpr int kIndexTopMax = 1 << 14;  // positions that an indexer chooses for each token
constexpr double kScaleMax = 1e6;      // of any scale, cap or stretch
constexpr double kRopeBaseMax = 1e12;
constexpr double kNormEpsMax = 0.1;

}  // namespace pippin::store
