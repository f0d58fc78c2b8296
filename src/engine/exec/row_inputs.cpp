#include "engine/exec/row_inputs.h"

#include <algorithm>
#include <cstddef>

#include "engine/core/submission_check.h"

namespace pippin::engine {
void add_positions(nn::StepBatch& batch, const PlanRow& row) {
  const auto wanted = static_cast<size_t>(batch.position_components);
  const size_t stated = row.positions.size() / row.tokens.size();
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    const int32_t place = row.start + static_cast<int32_t>(i);
    for (size_t c = 0; c < wanted; ++c)
      batch.positions.push_back(
          row.positions.empty() ? place : row.positions[i * stated + (stated == 1 ? 0 : c)]);
  }
}

void add_media(nn::StepBatch& batch, int first, const PlanRow& row, const Submission& submission) {
  for (const MaskSpan& span : row.spans)
    batch.spans.push_back({first + span.begin - row.start, span.count});
  const int row_end = row.start + static_cast<int>(row.tokens.size());
  for (const MediaSpan& media : submission.media) {
    const int begin = std::max(row.start, media.begin),
              end = std::min(row_end, media.begin + media.count);
    if (begin >= end) continue;
    const auto width = static_cast<ptrdiff_t>(media.embeddings->size()) / media.count;
    const auto rows = media.embeddings->begin();
    for (int place = begin; place < end; ++place)
      batch.embedded.push_back(first + place - row.start);
    batch.embeddings.insert(batch.embeddings.end(), rows + (begin - media.begin) * width,
                            rows + (end - media.begin) * width);
  }
}

Result<void> check_runnable(const ModelInputs& inputs, const Submission& submission) {
  RETURN_IF_ERROR(check_inputs(inputs, submission));
  for (const MediaSpan& media : submission.media)
    if (media.embeddings == nullptr || media.embeddings->empty())
      return fail(Code::kUnsupported, "[runner] expected the embeddings of media, got none",
                  "media");
  if (submission.encoded)
    return fail(Code::kUnsupported, "[runner] no encoder is implemented for this model", "input");
  return {};
}

}  // namespace pippin::engine
