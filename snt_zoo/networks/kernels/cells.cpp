// CPU kernels of supernet training; see `snt_zoo/networks/kernels/__init__.py` for what they compute and why.
//
// Images are NHWC (channels_last): a pixel's channels are neighbours in memory, pixels lie `stride` values
// apart. Every kernel works image by image in a scratch buffer that stays in the second-level cache, with
// the channels padded to whole vectors there. Parallel over images; sums are folded into doubles.

#include "lanes.h"
#include "windows.h"

namespace {

struct Geometry {
  int64_t images, height, width, channels, stride;
  int64_t out_height() const { return (height - 1) / stride + 1; }
  int64_t out_width() const { return (width - 1) / stride + 1; }
};

// ReLU, depthwise and pointwise convolution: what it reads, and its output.
template <class T>
struct Block {
  int64_t kernel, dilation;
  const T* x;
  int64_t x_stride;
  const T* scale;  // of the input, before the ReLU; null: it is used as it is
  const T* shift;
  const T* depthwise;  // (channels, taps)
  const T* pointwise;  // (out, in)
  T* z;
  double* moments;  // null, or sums over pixels of z and of z * z
  int64_t taps() const { return kernel * kernel; }
  int64_t pad() const { return dilation * (kernel - 1) / 2; }
  bool same_input(const Block& other) const { return x == other.x && scale == other.scale; }
};

// The rest of what the backward pass of a block reads and writes.
template <class T>
struct Gradient {
  const T* grad;  // dz = from_grad * grad + from_z * z + constant, per channel
  int64_t grad_stride;
  const T* from_grad;
  const T* from_z;  // null: 0
  const T* constant;
  T* grad_x;  // gradient of the ReLU's input
  int64_t grad_x_stride;
  int64_t accumulate;      // add to grad_x instead of writing it
  double* grad_x_moments;  // null, or sums over pixels of grad_x and of grad_x * (scale * x + shift)
  double* grad_depthwise;  // null: no gradients of weights
  double* grad_pointwise;
};

// An image in the middle of a zeroed border that is wide enough for all blocks of a call.
template <class T>
struct Padded {
  T* start;
  int64_t pad, row, cp;  // values from one row of pixels to the next, and from one pixel to the next
  Padded(int64_t pad, int64_t width, int64_t cp, T* start)
      : start(start), pad(pad), row((width + 2 * pad) * cp), cp(cp) {}
  static int64_t size(int64_t pad, int64_t height, int64_t width, int64_t cp) {
    return (height + 2 * pad) * (width + 2 * pad) * cp;
  }
  // The first value that a window with a border of `p` pixels reads.
  T* corner(int64_t p) const { return start + (pad - p) * (row + cp); }
  T* middle() const { return corner(0); }
};

// relu(scale * x + shift) of one image.
template <class S, class T = typename S::T>
void fill_padded(const Geometry& g, const Block<T>& b, int64_t n, const Padded<T>& out) {
  for (int64_t y = 0; y < g.height; ++y) {
    const T* in = b.x + (n * g.height + y) * g.width * b.x_stride;
    T* to = out.middle() + y * out.row;
    over_channels<S>(g.channels, [&](auto lanes, int64_t k) {
      using L = decltype(lanes);
      using Vector = typename L::Vector;
      if (b.scale) {
        const Vector scale = L::load(b.scale + k), shift = L::load(b.shift + k);
        for (int64_t i = 0; i < g.width; ++i) {
          const Vector v = L::load(in + i * b.x_stride + k) * scale + shift;
          L::store(to + i * out.cp + k, v < T(0) ? Vector{} : v);  // NaN stays NaN
        }
      } else {
        for (int64_t i = 0; i < g.width; ++i) {
          const Vector v = L::load(in + i * b.x_stride + k);
          L::store(to + i * out.cp + k, v < T(0) ? Vector{} : v);
        }
      }
    });
  }
}

template <class S, class T = typename S::T>
void depthwise(const Block<T>& b, const Padded<T>& in, int64_t oh, int64_t ow, int64_t stride, const T* weight,
               T* out, bool add) {
  const T* first = in.corner(b.pad());
  if (b.kernel == 3)
    depthwise_image<S, 3>(first, in.row, in.cp, oh, ow, stride, b.dilation, weight, out, add);
  else
    depthwise_image<S, 5>(first, in.row, in.cp, oh, ow, stride, b.dilation, weight, out, add);
}

template <class S, class T = typename S::T>
void depthwise_weight(const Block<T>& b, const Padded<T>& in, int64_t oh, int64_t ow, int64_t stride,
                      const T* grad, int64_t grad_row, T* out) {
  const T* first = in.corner(b.pad());
  if (b.kernel == 3)
    depthwise_weight_image<S, 3, 3>(first, in.row, in.cp, oh, ow, stride, b.dilation, grad, grad_row, out);
  else
    depthwise_weight_image<S, 5, kManyRegisters ? 5 : 1>(first, in.row, in.cp, oh, ow, stride, b.dilation,
                                                         grad, grad_row, out);
}

// Transposed depthwise convolution of stride above 1, added into a padded image.
template <class S, class T = typename S::T>
void depthwise_scatter(const Block<T>& b, const T* grad, int64_t oh, int64_t ow, int64_t stride,
                       const T* weight, const Padded<T>& out) {
  const int64_t cp = out.cp;
  for (int64_t y = 0; y < oh; ++y)
    for (int64_t x = 0; x < ow; ++x) {
      const T* from = grad + (y * ow + x) * cp;
      T* corner = out.corner(b.pad()) + y * stride * out.row + x * stride * cp;
      for (int64_t ky = 0; ky < b.kernel; ++ky)
        for (int64_t kx = 0; kx < b.kernel; ++kx) {
          T* to = corner + ky * b.dilation * out.row + kx * b.dilation * cp;
          const T* w = weight + (ky * b.kernel + kx) * cp;
          for (int64_t k = 0; k < cp; k += S::width)
            S::store(to + k, S::load(to + k) + S::load(from + k) * S::load(w + k));
        }
    }
}

template <class S, int Rows, int Vectors, class T = typename S::T>
inline void product_tile(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step, int64_t depth,
                         T* out, int64_t out_row, bool add) {
  typename S::Vector sum[Rows][Vectors] = {};
  for (int64_t i = 0; i < depth; ++i) {
    typename S::Vector right[Vectors];
    for (int v = 0; v < Vectors; ++v) right[v] = S::load(b + i * b_step + v * S::width);
    for (int r = 0; r < Rows; ++r) {
      const T left = a[r * a_row + i * a_step];
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) {
      T* to = out + r * out_row + v * S::width;
      S::store(to, add ? S::load(to) + sum[r][v] : sum[r][v]);
    }
}

template <class S, int Vectors, class T = typename S::T>
void product_columns(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step, int64_t rows,
                     int64_t depth, T* out, int64_t out_row, bool add) {
  constexpr int kRows = kManyRegisters ? 8 : 6;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    product_tile<S, kRows, Vectors>(a + r * a_row, a_row, a_step, b, b_step, depth, out + r * out_row, out_row,
                                    add);
  for (; r + 2 <= rows; r += 2)
    product_tile<S, 2, Vectors>(a + r * a_row, a_row, a_step, b, b_step, depth, out + r * out_row, out_row,
                                add);
  if (r < rows)
    product_tile<S, 1, Vectors>(a + r * a_row, a_row, a_step, b, b_step, depth, out + r * out_row, out_row,
                                add);
}

// out[r, c] (+)= sum over i of a[r * a_row + i * a_step] * b[i * b_step + c], c a whole number of vectors.
template <class S, class T = typename S::T>
void product(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step, int64_t rows,
             int64_t depth, int64_t columns, T* out, int64_t out_row, bool add) {
  int64_t c = 0;
  for (; c + 2 * S::width <= columns; c += 2 * S::width)
    product_columns<S, 2>(a, a_row, a_step, b + c, b_step, rows, depth, out + c, out_row, add);
  if (c < columns) product_columns<S, 1>(a, a_row, a_step, b + c, b_step, rows, depth, out + c, out_row, add);
}

// Sums over `pixels` of values and of their products with `other` (or with themselves), as doubles.
template <class S, class T = typename S::T>
void fold_moments(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t pixels, int64_t channels,
                  double* sum, double* sum_product) {
  constexpr int64_t kChunk = 64;
  for (int64_t first = 0; first < pixels; first += kChunk) {
    const int64_t last = std::min(pixels, first + kChunk);
    over_channels<S>(channels, [&](auto lanes, int64_t k) {
      using L = decltype(lanes);
      typename L::Vector s[2] = {}, q[2] = {};
      int64_t i = first;
      for (; i + 2 <= last; i += 2)
        for (int u = 0; u < 2; ++u) {
          const auto v = L::load(a + (i + u) * a_stride + k);
          s[u] += v;
          q[u] += v * L::load(b + (i + u) * b_stride + k);
        }
      if (i < last) {
        const auto v = L::load(a + i * a_stride + k);
        s[0] += v;
        q[0] += v * L::load(b + i * b_stride + k);
      }
      L::add_to(sum + k, s[0] + s[1]);
      L::add_to(sum_product + k, q[0] + q[1]);
    });
  }
}

// Weights of a block as the kernels read them: `(taps, cp)`, and a padded square.
template <class T>
struct Weights {
  T* depthwise;
  T* flipped;  // for the transposed convolution; null in the forward pass
  T* pointwise;  // (in, out) in the forward pass, else (out, in)

  static int64_t size(const Block<T>& b, int64_t cp) { return 2 * b.taps() * cp + cp * cp; }
  Weights(const Block<T>& b, int64_t c, int64_t cp, bool backward, Scratch<T>& scratch)
      : depthwise(scratch.take_zeros(b.taps() * cp)),
        flipped(backward ? scratch.take_zeros(b.taps() * cp) : nullptr),
        pointwise(scratch.take_zeros(cp * cp)) {
    for (int64_t k = 0; k < c; ++k)
      for (int64_t t = 0; t < b.taps(); ++t) {
        depthwise[t * cp + k] = b.depthwise[k * b.taps() + t];
        if (backward) flipped[(b.taps() - 1 - t) * cp + k] = b.depthwise[k * b.taps() + t];
      }
    for (int64_t o = 0; o < c; ++o)
      for (int64_t i = 0; i < c; ++i) pointwise[backward ? o * cp + i : i * cp + o] = b.pointwise[o * c + i];
  }
};

template <class T>
int64_t widest_pad(int64_t count, const Block<T>* blocks) {
  int64_t pad = 0;
  for (int64_t i = 0; i < count; ++i) pad = std::max(pad, blocks[i].pad());
  return pad;
}

template <class T>
int64_t size_of_weights(int64_t count, const Block<T>* blocks, int64_t cp) {
  int64_t size = 0;
  for (int64_t i = 0; i < count; ++i) size += Weights<T>::size(blocks[i], cp);
  return size;
}

template <class S, class T = typename S::T>
void blocks_forward(const Geometry& g, int64_t count, const Block<T>* blocks) {
  const int64_t c = g.channels, cp = round_up(c, S::width), pad = widest_pad(count, blocks);
  const int64_t oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
  const int64_t padded_size = Padded<T>::size(pad, g.height, g.width, cp);
  const int threads = threads_for(g.images);
  Totals totals(threads, 2 * c * count);
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(padded_size + 2 * pixels * cp + size_of_weights(count, blocks, cp), 3 * count + 3);
    const Padded<T> padded(pad, g.width, cp, scratch.take_zeros(padded_size));
    T* middle = scratch.take(pixels * cp);
    T* rounded = scratch.take(c == cp ? 0 : pixels * cp);
    std::vector<Weights<T>> weights;
    for (int64_t i = 0; i < count; ++i) weights.emplace_back(blocks[i], c, cp, false, scratch);
    double* sums = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n)
      for (int64_t i = 0; i < count; ++i) {
        const Block<T>& b = blocks[i];
        if (i == 0 || !b.same_input(blocks[i - 1])) fill_padded<S>(g, b, n, padded);
        depthwise<S>(b, padded, oh, ow, g.stride, weights[i].depthwise, middle, false);
        T* image = b.z + n * pixels * c;
        T* to = c == cp ? image : rounded;
        product<S>(middle, cp, 1, weights[i].pointwise, cp, pixels, cp, cp, to, cp, false);
        if (c != cp)
          for (int64_t p = 0; p < pixels; ++p) std::memcpy(image + p * c, rounded + p * cp, sizeof(T) * c);
        double* moments = sums + 2 * c * i;
        if (b.moments) fold_moments<S>(image, c, image, c, pixels, c, moments, moments + c);
      }
  }
  for (int64_t i = 0; i < count; ++i)
    if (blocks[i].moments) totals.write(2 * c * i, 2 * c, blocks[i].moments);
}

// dz of some pixels from the first one on.
template <class S, class T = typename S::T>
void output_gradient(const Gradient<T>& d, const T* z, int64_t first, int64_t pixels, int64_t c, int64_t cp,
                     T* dz) {
  const T* g = d.grad + first * d.grad_stride;
  z += first * c;
  over_channels<S>(c, [&](auto lanes, int64_t k) {
    using L = decltype(lanes);
    const auto from_grad = L::load(d.from_grad + k);
    if (d.from_z) {
      const auto from_z = L::load(d.from_z + k), constant = L::load(d.constant + k);
      for (int64_t i = 0; i < pixels; ++i)
        L::store(dz + i * cp + k, L::load(g + i * d.grad_stride + k) * from_grad +
                                      (L::load(z + i * c + k) * from_z + constant));
    } else {
      for (int64_t i = 0; i < pixels; ++i)
        L::store(dz + i * cp + k, L::load(g + i * d.grad_stride + k) * from_grad);
    }
  });
}

// Mask by the ReLU, write or add; `dx` is `(h, w, cp)` with rows `dx_row` values apart.
template <class S, class T = typename S::T>
void input_gradient(const Geometry& g, const Gradient<T>& d, int64_t n, const Padded<T>& x, const T* dx,
                    int64_t dx_row, double* moments) {
  for (int64_t y = 0; y < g.height; ++y) {
    const T* in = x.middle() + y * x.row;
    const T* from = dx + y * dx_row;
    T* to = d.grad_x + (n * g.height + y) * g.width * d.grad_x_stride;
    over_channels<S>(g.channels, [&](auto lanes, int64_t k) {
      using L = decltype(lanes);
      using Vector = typename L::Vector;
      Vector sum = {}, sum_product = {};
      for (int64_t i = 0; i < g.width; ++i) {
        T* at = to + i * d.grad_x_stride + k;
        const Vector v = L::load(in + i * x.cp + k);
        Vector masked = v > T(0) ? L::load(from + i * x.cp + k) : Vector{};
        sum += masked;
        sum_product += masked * v;  // v is the ReLU's output: the same where its gradient is not 0
        if (d.accumulate) masked += L::load(at);
        L::store(at, masked);
      }
      if (moments) {
        L::add_to(moments + k, sum);
        L::add_to(moments + g.channels + k, sum_product);
      }
    });
  }
}

// Sums of one block's gradients of weights over the images of a thread. They are folded into doubles when
// as many pixels have been added up as a large image has.
template <class T>
struct WeightSums {
  T* depthwise;
  T* pointwise;
  int64_t pixels = 0;
  WeightSums(const Block<T>& b, int64_t cp, Scratch<T>& scratch)
      : depthwise(scratch.take_zeros(b.taps() * cp)), pointwise(scratch.take_zeros(cp * cp)) {}
  void fold(const Block<T>& b, int64_t cp, double* total) {
    for (int64_t i = 0; i < b.taps() * cp; ++i) total[i] += depthwise[i];
    for (int64_t i = 0; i < cp * cp; ++i) total[b.taps() * cp + i] += pointwise[i];
    std::memset(depthwise, 0, sizeof(T) * b.taps() * cp);
    std::memset(pointwise, 0, sizeof(T) * cp * cp);
    pixels = 0;
  }
};

// Gradients of blocks. Neighbours with one input and one `grad_x` share the work on them.
template <class S, class T = typename S::T>
void blocks_backward(const Geometry& g, int64_t count, const Block<T>* blocks, const Gradient<T>* gradients) {
  constexpr int64_t kFold = 1024;
  const int64_t c = g.channels, cp = round_up(c, S::width), pad = widest_pad(count, blocks);
  const int64_t oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
  const int64_t padded_size = Padded<T>::size(pad, g.height, g.width, cp);
  // A transposed convolution of stride 1 is a convolution of the padded gradient with the flipped kernel.
  const bool gather = g.stride == 1;
  const int threads = threads_for(g.images);
  std::vector<int64_t> first(count + 1, 0);  // of a block's totals
  for (int64_t i = 0; i < count; ++i)
    first[i + 1] = first[i] + 2 * c + (gradients[i].grad_depthwise ? blocks[i].taps() * cp + cp * cp : 0);
  Totals totals(threads, first[count]);
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(2 * padded_size + 3 * pixels * cp + g.height * g.width * cp +
                           2 * size_of_weights(count, blocks, cp),
                       5 * count + 6);
    const Padded<T> padded(pad, g.width, cp, scratch.take_zeros(padded_size));
    const Padded<T> spread(pad, g.width, cp, scratch.take_zeros(padded_size));
    T* middle = scratch.take(pixels * cp);
    T* dz = scratch.take_zeros(pixels * cp);
    T* dm = gather ? spread.middle() : scratch.take(pixels * cp);
    const int64_t dm_row = gather ? spread.row : ow * cp;
    T* dx = gather ? scratch.take(g.height * g.width * cp) : spread.middle();
    std::vector<Weights<T>> weights;
    std::vector<WeightSums<T>> sums;
    for (int64_t i = 0; i < count; ++i) {
      weights.emplace_back(blocks[i], c, cp, true, scratch);
      sums.emplace_back(blocks[i], cp, scratch);
    }
    double* total = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n)
      for (int64_t i = 0; i < count; ++i) {
        const Block<T>& b = blocks[i];
        const Gradient<T>& d = gradients[i];
        const bool begins = i == 0 || d.grad_x != gradients[i - 1].grad_x;
        const bool ends = i + 1 == count || d.grad_x != gradients[i + 1].grad_x;
        if (begins || !b.same_input(blocks[i - 1])) fill_padded<S>(g, b, n, padded);
        output_gradient<S>(d, b.z, n * pixels, pixels, c, cp, dz);
        for (int64_t y = 0; y < oh; ++y)
          product<S>(dz + y * ow * cp, cp, 1, weights[i].pointwise, cp, ow, cp, cp, dm + y * dm_row, cp, false);
        if (d.grad_depthwise) {
          depthwise<S>(b, padded, oh, ow, g.stride, weights[i].depthwise, middle, false);
          product<S>(middle, 1, cp, dz, cp, cp, pixels, cp, sums[i].pointwise, cp, true);
          depthwise_weight<S>(b, padded, oh, ow, g.stride, dm, dm_row, sums[i].depthwise);
          sums[i].pixels += pixels;
          if (sums[i].pixels >= kFold) sums[i].fold(b, cp, total + first[i] + 2 * c);
        }
        if (gather) {
          depthwise<S>(b, spread, g.height, g.width, 1, weights[i].flipped, dx, !begins);
        } else {
          if (begins) std::memset(spread.start, 0, sizeof(T) * padded_size);
          depthwise_scatter<S>(b, dm, oh, ow, g.stride, weights[i].depthwise, spread);
        }
        if (ends)
          input_gradient<S>(g, d, n, padded, dx, gather ? g.width * cp : spread.row,
                            d.grad_x_moments ? total + first[i] : nullptr);
      }
    for (int64_t i = 0; i < count; ++i)
      if (sums[i].pixels) sums[i].fold(blocks[i], cp, total + first[i] + 2 * c);
  }
  for (int64_t i = 0; i < count; ++i) {
    const Gradient<T>& d = gradients[i];
    if (d.grad_x_moments) totals.write(first[i], 2 * c, d.grad_x_moments);
    if (!d.grad_depthwise) continue;
    const int64_t taps = blocks[i].taps(), start = first[i] + 2 * c;
    for (int64_t k = 0; k < c; ++k)
      for (int64_t t = 0; t < taps; ++t) d.grad_depthwise[k * taps + t] = totals.at(start + t * cp + k);
    for (int64_t o = 0; o < c; ++o)  // they lie (in, out)
      for (int64_t k = 0; k < c; ++k) d.grad_pointwise[o * c + k] = totals.at(start + (taps + k) * cp + o);
  }
}

// ReLU and a 1x1 convolution of pixels: what it reads, and its output.
template <class T>
struct Projection {
  int64_t pixels, in, out;  // channels
  const T* x;
  int64_t x_stride;
  const T* weight;  // (out, in)
  T* z;
  double* moments;  // as of a block
};

constexpr int64_t kPixels = 64;  // of a projection at once, in the first-level cache

template <class S, class T = typename S::T>
void positive_part(const Projection<T>& p, int64_t first, int64_t count, int64_t ip, T* out) {
  over_channels<S>(p.in, [&](auto lanes, int64_t k) {
    using L = decltype(lanes);
    for (int64_t i = 0; i < count; ++i) {
      const auto v = L::load(p.x + (first + i) * p.x_stride + k);
      L::store(out + i * ip + k, v < T(0) ? typename L::Vector{} : v);
    }
  });
}

template <class S, class T = typename S::T>
void project_forward(const Projection<T>& p) {
  const int64_t ip = round_up(p.in, S::width), op = round_up(p.out, S::width);
  const int64_t chunks = (p.pixels + kPixels - 1) / kPixels;
  const int threads = threads_for(chunks);
  Totals totals(threads, 2 * p.out);
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(kPixels * (ip + op) + ip * op, 3);
    T* x = scratch.take(kPixels * ip);
    T* rounded = scratch.take(kPixels * op);
    T* weight = scratch.take_zeros(ip * op);
    for (int64_t o = 0; o < p.out; ++o)
      for (int64_t i = 0; i < p.in; ++i) weight[i * op + o] = p.weight[o * p.in + i];
    double* sums = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t first = chunk * kPixels, count = std::min(kPixels, p.pixels - first);
      T* z = p.z + first * p.out;
      T* to = p.out == op ? z : rounded;
      positive_part<S>(p, first, count, ip, x);
      product<S>(x, ip, 1, weight, op, count, p.in, op, to, op, false);
      if (p.out != op)
        for (int64_t i = 0; i < count; ++i) std::memcpy(z + i * p.out, rounded + i * op, sizeof(T) * p.out);
      if (p.moments) fold_moments<S>(z, p.out, z, p.out, count, p.out, sums, sums + p.out);
    }
  }
  if (p.moments) totals.write(0, 2 * p.out, p.moments);
}

template <class S, class T = typename S::T>
void project_backward(const Projection<T>& p, const Gradient<T>& d) {
  constexpr int64_t kFold = 16;  // chunks whose gradients are added up before they become doubles
  const int64_t ip = round_up(p.in, S::width), op = round_up(p.out, S::width);
  const int64_t chunks = (p.pixels + kPixels - 1) / kPixels;
  const int threads = threads_for(chunks);
  Totals totals(threads, ip * op);
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(kPixels * (2 * ip + op) + 2 * ip * op, 5);
    T* x = scratch.take_zeros(kPixels * ip);
    T* dx = scratch.take(kPixels * ip);
    T* dz = scratch.take_zeros(kPixels * op);
    T* weight = scratch.take_zeros(op * ip);
    T* sum = scratch.take_zeros(ip * op);
    for (int64_t o = 0; o < p.out; ++o) std::memcpy(weight + o * ip, p.weight + o * p.in, sizeof(T) * p.in);
    double* total = totals.of(this_thread());
    int64_t added = 0;
    const auto fold = [&] {
      for (int64_t i = 0; i < ip * op; ++i) total[i] += sum[i];
      std::memset(sum, 0, sizeof(T) * ip * op);
      added = 0;
    };
#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t first = chunk * kPixels, count = std::min(kPixels, p.pixels - first);
      positive_part<S>(p, first, count, ip, x);
      output_gradient<S>(d, p.z, first, count, p.out, op, dz);
      product<S>(dz, op, 1, weight, ip, count, p.out, ip, dx, ip, false);
      product<S>(x, 1, ip, dz, op, ip, count, op, sum, op, true);
      over_channels<S>(p.in, [&](auto lanes, int64_t k) {
        using L = decltype(lanes);
        for (int64_t i = 0; i < count; ++i)
          L::store(d.grad_x + (first + i) * d.grad_x_stride + k,
                   L::load(x + i * ip + k) > T(0) ? L::load(dx + i * ip + k) : typename L::Vector{});
      });
      if (++added == kFold) fold();
    }
    fold();
  }
  for (int64_t o = 0; o < p.out; ++o)
    for (int64_t i = 0; i < p.in; ++i) d.grad_pointwise[o * p.in + i] = totals.at(i * op + o);
}

// Images that are weighted and summed, and those whose gradients are.
template <class T>
struct Images {
  int64_t count;
  const T* const* at;
  const int64_t* strides;
};

// out (+)= shift + sum over inputs of factor * input, per channel.
template <class S, class T = typename S::T>
void combine(const Images<T>& x, const T* factors, const T* shift, T* out, int64_t out_stride, int64_t pixels,
             int64_t c, int64_t accumulate) {
  constexpr int64_t kChunk = 32;
  const int64_t chunks = (pixels + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(static) num_threads(threads_for(chunks / 8))
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t first = chunk * kChunk, last = std::min(pixels, first + kChunk);
    over_channels<S>(c, [&](auto lanes, int64_t k) {
      using L = decltype(lanes);
      typename L::Vector sum[kChunk], start = {};
      if (shift) start = L::load(shift + k);
      for (int64_t p = first; p < last; ++p)
        sum[p - first] = accumulate ? L::load(out + p * out_stride + k) + start : start;
      for (int64_t i = 0; i < x.count; ++i) {
        const auto factor = L::load(factors + i * c + k);
        const T* in = x.at[i] + k;
        const int64_t stride = x.strides[i];
        for (int64_t p = first; p < last; ++p) sum[p - first] += L::load(in + p * stride) * factor;
      }
      for (int64_t p = first; p < last; ++p) L::store(out + p * out_stride + k, sum[p - first]);
    });
  }
}

// Sums over pixels of grad * (scale * input + shift), `(inputs, c)`, and of each grad, the last rows.
// `of` says which grad an input meets.
template <class S, class T = typename S::T>
void combine_backward(const Images<T>& x, const T* scale, const T* shift, const int64_t* of,
                      const Images<T>& grads, int64_t pixels, int64_t c, double* sums) {
  constexpr int64_t kChunk = 64;
  const int64_t chunks = (pixels + kChunk - 1) / kChunk;
  const int threads = threads_for(chunks / 4);
  Totals totals(threads, (x.count + grads.count) * c);
#pragma omp parallel num_threads(threads)
  {
    double* total = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t first = chunk * kChunk, last = std::min(pixels, first + kChunk);
      for (int64_t i = 0; i < x.count + grads.count; ++i) {
        const bool plain = i >= x.count;
        const int64_t j = plain ? i - x.count : of[i];
        const T* grad = grads.at[j];
        const int64_t grad_stride = grads.strides[j];
        over_channels<S>(c, [&](auto lanes, int64_t k) {
          using L = decltype(lanes);
          typename L::Vector sum[4] = {};
          int64_t p = first;
          if (plain) {
            for (; p < last; ++p) sum[p & 3] += L::load(grad + p * grad_stride + k);
          } else {
            const auto a = L::load(scale + i * c + k), s = L::load(shift + i * c + k);
            const T* in = x.at[i] + k;
            const int64_t stride = x.strides[i];
            for (; p + 4 <= last; p += 4)
              for (int u = 0; u < 4; ++u)
                sum[u] += L::load(grad + (p + u) * grad_stride + k) * (L::load(in + (p + u) * stride) * a + s);
            for (; p < last; ++p)
              sum[0] += L::load(grad + p * grad_stride + k) * (L::load(in + p * stride) * a + s);
          }
          L::add_to(total + i * c + k, (sum[0] + sum[1]) + (sum[2] + sum[3]));
        });
      }
    }
  }
  totals.write(0, (x.count + grads.count) * c, sums);
}

// The rows (or columns) of a 3x3 window around a pixel that lie inside the image.
struct Span {
  int64_t first, last;  // the last is left out
  Span(int64_t at, int64_t stride, int64_t size)
      : first(std::max<int64_t>(at * stride - 1, 0)), last(std::min(at * stride + 2, size)) {}
  int64_t count() const { return last - first; }
};

// Max and average of 3x3 windows; `which` keeps the first place of the maximum.
template <class S, class T = typename S::T>
void pool_forward(const Geometry& g, const T* x, int64_t x_stride, T* highest, T* average, T* which,
                  double* moments) {
  const int64_t c = g.channels, oh = g.out_height(), ow = g.out_width(), pixels = oh * ow;
  const int threads = threads_for(g.images);
  Totals totals(threads, moments ? 4 * c : 0);
#pragma omp parallel num_threads(threads)
  {
    double* sums = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n) {
      const T* image = x + n * g.height * g.width * x_stride;
      for (int64_t y = 0; y < oh; ++y) {
        const Span rows(y, g.stride, g.height);
        for (int64_t i = 0; i < ow; ++i) {
          const Span columns(i, g.stride, g.width);
          const int64_t at = (n * pixels + y * ow + i) * c;
          over_channels<S>(c, [&](auto lanes, int64_t k) {
            using L = decltype(lanes);
            const T* in = image + k;
            const int64_t corner = (1 - y * g.stride) * 3 + 1 - i * g.stride;  // makes places of pixels
            auto top = L::load(in + (rows.first * g.width + columns.first) * x_stride);
            typename L::Vector sum = {}, none = {};
            auto place = none + static_cast<T>(rows.first * 3 + columns.first + corner);
            for (int64_t iy = rows.first; iy < rows.last; ++iy)
              for (int64_t ix = columns.first; ix < columns.last; ++ix) {
                const auto v = L::load(in + (iy * g.width + ix) * x_stride);
                const auto tap = none + static_cast<T>(iy * 3 + ix + corner);
                sum += v;
                place = v > top ? tap : place;
                top = v > top ? v : top;
              }
            L::store(highest + at + k, top);
            L::store(average + at + k, sum / static_cast<T>(rows.count() * columns.count()));
            L::store(which + at + k, place);
          });
        }
      }
      if (moments) {
        const int64_t at = n * pixels * c;
        fold_moments<S>(highest + at, c, highest + at, c, pixels, c, sums, sums + c);
        fold_moments<S>(average + at, c, average + at, c, pixels, c, sums + 2 * c, sums + 3 * c);
      }
    }
  }
  if (moments) totals.write(0, 4 * c, moments);
}

// Gradients of both pools, added to the gradient of their input, tap by tap.
template <class S, class T = typename S::T>
void pool_backward(const Geometry& g, const T* grad_highest, const T* grad_average, const T* which,
                   T* grad_x, int64_t grad_x_stride) {
  const int64_t c = g.channels, oh = g.out_height(), ow = g.out_width();
#pragma omp parallel num_threads(threads_for(g.images))
  {
    Scratch<T> scratch(ow * c, 1);
    T* shares = scratch.take(ow * c);  // of the pixels of a row of windows in its averages
#pragma omp for schedule(static)
    for (int64_t n = 0; n < g.images; ++n)
      for (int64_t y = 0; y < oh; ++y) {
        const Span rows(y, g.stride, g.height);
        const int64_t at = (n * oh + y) * ow * c;
        for (int64_t i = 0; i < ow; ++i) {
          const T share = T(1) / static_cast<T>(rows.count() * Span(i, g.stride, g.width).count());
          for (int64_t k = 0; k < c; ++k) shares[i * c + k] = grad_average[at + i * c + k] * share;
        }
        for (int64_t iy = rows.first; iy < rows.last; ++iy)
          for (int64_t kx = 0; kx < 3; ++kx) {
            const T tap = static_cast<T>((iy - y * g.stride + 1) * 3 + kx);
            const int64_t first = kx == 0 ? 1 : 0, last = std::min(ow, (g.width - kx + g.stride) / g.stride);
            T* row = grad_x + ((n * g.height + iy) * g.width + kx - 1) * grad_x_stride;
            over_channels<S>(c, [&](auto lanes, int64_t k) {
              using L = decltype(lanes);
              for (int64_t i = first; i < last; ++i) {
                T* out = row + i * g.stride * grad_x_stride + k;
                const int64_t from = i * c + k;
                const auto chosen = L::load(which + at + from) == tap ? L::load(grad_highest + at + from)
                                                                            : typename L::Vector{};
                L::store(out, L::load(out) + (L::load(shares + from) + chosen));
              }
            });
          }
      }
  }
}

}  // namespace

#define EXPORT(T, SUFFIX)                                                                                     \
  void blocks_forward_##SUFFIX(const Geometry* g, int64_t count, const Block<T>* blocks) {                    \
    with_lanes<T>(g->channels, [&](auto s) { blocks_forward<decltype(s)>(*g, count, blocks); });              \
  }                                                                                                           \
  void blocks_backward_##SUFFIX(const Geometry* g, int64_t count, const Block<T>* blocks,                     \
                                const Gradient<T>* gradients) {                                               \
    with_lanes<T>(g->channels, [&](auto s) { blocks_backward<decltype(s)>(*g, count, blocks, gradients); });  \
  }                                                                                                           \
  void project_forward_##SUFFIX(const Projection<T>* p) {                                                     \
    with_lanes<T>(std::min(p->in, p->out), [&](auto s) { project_forward<decltype(s)>(*p); });                \
  }                                                                                                           \
  void project_backward_##SUFFIX(const Projection<T>* p, const Gradient<T>* d) {                              \
    with_lanes<T>(std::min(p->in, p->out), [&](auto s) { project_backward<decltype(s)>(*p, *d); });           \
  }                                                                                                           \
  void combine_##SUFFIX(const Images<T>* x, const T* factors, const T* shift, T* out, int64_t out_stride,     \
                        int64_t pixels, int64_t c, int64_t accumulate) {                                      \
    with_lanes<T>(c, [&](auto s) {                                                                            \
      combine<decltype(s)>(*x, factors, shift, out, out_stride, pixels, c, accumulate);                       \
    });                                                                                                       \
  }                                                                                                           \
  void combine_backward_##SUFFIX(const Images<T>* x, const T* scale, const T* shift, const int64_t* of,       \
                                 const Images<T>* grads, int64_t pixels, int64_t c, double* sums) {           \
    with_lanes<T>(c, [&](auto s) {                                                                            \
      combine_backward<decltype(s)>(*x, scale, shift, of, *grads, pixels, c, sums);                           \
    });                                                                                                       \
  }                                                                                                           \
  void pool_forward_##SUFFIX(const Geometry* g, const T* x, int64_t x_stride, T* highest, T* average,         \
                             T* which, double* moments) {                                               \
    with_lanes<T>(g->channels, [&](auto s) {                                                                  \
      pool_forward<decltype(s)>(*g, x, x_stride, highest, average, which, moments);                           \
    });                                                                                                       \
  }                                                                                                           \
  void pool_backward_##SUFFIX(const Geometry* g, const T* grad_highest, const T* grad_average,                \
                              const T* which, T* grad_x, int64_t grad_x_stride) {                       \
    with_lanes<T>(g->channels, [&](auto s) {                                                                  \
      pool_backward<decltype(s)>(*g, grad_highest, grad_average, which, grad_x, grad_x_stride);               \
    });                                                                                                       \
  }

extern "C" {
EXPORT(float, f32)
EXPORT(double, f64)
}
