// Any bytes, read as a GGUF file and its model configuration: an error, or a file whose views lie
// inside the bytes. Run: gguf_fuzz -max_len=65536 -rss_limit_mb=1024 CORPUS
#include <cstdlib>
#include <span>

#include "store/gguf.h"
#include "store/model_config.h"
#include "target.h"

using namespace pippin;

namespace {

// What the reader promised about a file that it accepted.
void check_views(const store::GgufFile& file, std::span<const std::byte> bytes) {
  for (const store::TensorView& tensor : file.tensors()) {
    const int64_t blocks = tensor.elements() / block_elements(tensor.type);
    const bool inside = tensor.bytes.data() >= bytes.data() &&
                        tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size();
    const bool whole =
        tensor.bytes.size() == static_cast<size_t>(blocks * block_bytes(tensor.type));
    if (!inside || !whole || file.tensor(tensor.name) != &tensor) std::abort();
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    store::dequantize(tensor.type, tensor.bytes, values);
  }
  for (const auto& [key, value] : file.metadata()) {
    if (file.find(key) != &value) std::abort();
  }
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(input));
  const auto file = store::GgufFile::parse(bytes, "fuzz.gguf");
  if (file.ok()) {
    check_views(*file, bytes);
    const auto config = store::read_model_config(*file);
    if (config.ok() &&
        (config->layers < 1 || config->heads.size() != static_cast<size_t>(config->layers)))
      std::abort();
  }
}
