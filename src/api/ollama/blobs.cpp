// HEAD and POST /api/blobs/{digest}: files that clients upload to make models of.
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <mutex>

#include "api/ollama/errors.h"
#include "api/ollama/names.h"
#include "api/ollama/ollama.h"
#include "base/files.h"

namespace pippin::api::ollama {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlobsBytesMax = uint64_t{1} << 30;

// Returns the digits of the digest in the address. If it is none, answers and returns nothing.
std::string_view read_digest(Exchange& exchange) {
  const std::string& digest = exchange.request().captures.front();
  const std::string_view hex = digest_hex(digest);
  if (hex.empty()) {
    exchange.respond(error_response(fail(
        Code::kInvalidArgument, fmt::format("invalid digest format: '{}'", digest), "digest")));
  }
  return hex;
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t sum = 0;
  for (const std::string& name : names_in(folder)) sum += bytes_of(folder / name);
  return sum;
}

Result<void> write(const std::string& folder, std::string_view hex, const std::string& bytes) {
  if (folder.empty()) return fail(Code::kUnavailable, "this server has no folder to keep files in");
  if (sha256_hex(bytes) != hex)
    return fail(Code::kInvalidArgument, "digest mismatch: the file is another one", "digest");
  const fs::path path = fs::path(folder) / fmt::format("sha256-{}", hex);
  // What is counted must not change before the file is there.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (bytes_in(folder) + bytes.size() > kBlobsBytesMax + bytes_of(path))
    return fail(Code::kTooLarge, "the uploaded files would take more than 1 GiB");
  return write_file(path, bytes);
}

}  // namespace

Handler find_blob(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    const std::string_view hex = read_digest(*exchange);
    if (hex.empty()) return;
    std::error_code ec;
    const fs::path path = fs::path(home->blobs_folder()) / fmt::format("sha256-{}", hex);
    const bool there = !home->blobs_folder().empty() && fs::is_regular_file(path, ec);
    exchange->respond({there ? 200 : 404, "", "", {}});
  };
}

Handler store_blob(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    const std::string_view hex = read_digest(*exchange);
    if (hex.empty()) return;
    const Result<void> written = write(home->blobs_folder(), hex, exchange->request().body);
    exchange->respond(written.ok() ? Response{201, "", "", {}} : error_response(written.error()));
  };
}

}  // namespace pippin::api::ollama
