// Ranges of one file, fetched by several connections at once and appended in order. Internal to
// hub.
#pragma once

#include "hub/download.h"
#include "hub/partial_file.h"

namespace pippin::hub {

/// Fetches what `file` lacks. Returns false where the server turns out to know no ranges; what came
/// until then stays. Errors: those of pull().
Result<bool> fetch_ranges(Session& session, const Remote& remote, Link& link, PartialFile& file);

/// What follows from an answer to a request for bytes of `remote`: nothing to do when `complete`,
/// else another try after a wait, or an error for good.
Result<void> after_answer(const Remote& remote, Link& link, RetryPolicy& retries,
                          const Result<HttpResponse>& answer, bool complete);

/// Returns whether a 206 answer holds the range that was asked for, or a beginning of it, of a file
/// of that size.
bool covers(const HttpResponse& answer, const ByteRange& asked, uint64_t file_bytes);

}  // namespace pippin::hub
