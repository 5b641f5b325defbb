/** @type {import('next').NextConfig} */
export default {
  output: 'standalone',
  // Native modules are loaded by Node, not bundled.
  serverExternalPackages: ['lastgood'],
  // This folder alone, wherever it lies.
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
  poweredByHeader: false,
}
