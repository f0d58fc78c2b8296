#include "models/families/expert_fields.h"

#include "store/config_limits.h"

namespace pippin::models {

Result<void> read_experts(const store::HfFields& fields, const ExpertFields& names,
                          store::ModelConfig& config) {
  store::ExpertConfig& experts = config.experts;
  const auto size = [&](std::string_view key, int max, int otherwise) {
    return key.empty() ? Result<int>(otherwise) : fields.size(key, 0, max, otherwise);
  };
  const char* count = fields.has("num_local_experts")  ? "num_local_experts"
                      : fields.has("n_routed_experts") ? "n_routed_experts"
                                                       : "num_experts";
  ASSIGN_OR_RETURN(experts.count, fields.size(count, 1, store::kExpertsMax));
  ASSIGN_OR_RETURN(experts.used, fields.size_of_all(names.used, 1, experts.count));
  if (!names.inner.empty()) {
    ASSIGN_OR_RETURN(experts.feed_forward, fields.size(names.inner, 1, store::kFeedForwardMax));
  }
  ASSIGN_OR_RETURN(experts.shared, size(names.shared, store::kExpertsMax, 0));
  ASSIGN_OR_RETURN(experts.shared_feed_forward,
                   size(names.shared_inner, store::kFeedForwardMax, 0));
  ASSIGN_OR_RETURN(experts.groups, size(names.groups, experts.count, 1));
  ASSIGN_OR_RETURN(experts.groups_used, size(names.groups_used, experts.groups, experts.groups));
  if (!names.normalise.empty()) {
    ASSIGN_OR_RETURN(experts.normalise, fields.flag(names.normalise, names.normalise_unsaid));
  }
  if (!names.scale.empty()) {
    ASSIGN_OR_RETURN(const double scale, fields.number(names.scale, 1e-6, store::kScaleMax, 1));
    experts.scale = static_cast<float>(scale);
  }
  return {};
}

}  // namespace pippin::models
