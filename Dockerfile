FROM python:3.11-slim
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir -r requirements.txt
RUN useradd --system --create-home runtime && mkdir /data && chown runtime /data
USER runtime
WORKDIR /data
ENV ADDR=0.0.0.0
EXPOSE 8081
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/livez')"]
CMD ["runtime", "serve"]
